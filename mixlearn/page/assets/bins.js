// Bins of a reliability diagram. A prediction is its confidence, negative where it is wrong.

/** Sorted by confidence, as `binned` needs them. */
export const sorted = (values) => [...values].sort((a, b) => Math.abs(a) - Math.abs(b));

/**
 * Bins of equal width, b/count < confidence ≤ (b + 1)/count, or of equally many predictions ("mass"): for each
 * its ends, how many predictions n it holds, and the sums of their confidences and of the right ones.
 */
export function binned(values, count, kind) {
  const empty = (_, b) => ({ low: b / count, high: (b + 1) / count, n: 0, sure: 0, right: 0 });
  const bins = Array.from({ length: count }, empty);
  values.forEach((value, i) => {
    const sure = Math.abs(value);
    let b = Math.ceil(sure * count) - 1;
    if (kind === "mass") b = Math.ceil(((i + 1) * count) / values.length) - 1;
    else if (b > 0 && sure <= b / count) b -= 1; // rounding
    else if (sure > (b + 1) / count) b += 1;
    const bin = bins[b];
    if (kind === "mass") [bin.low, bin.high] = [bin.n ? bin.low : sure, sure];
    bin.n += 1;
    bin.sure += sure;
    bin.right += Number(value > 0);
  });
  return bins;
}

/** The expected calibration error: each bin's distance between confidence and accuracy, by its share. */
export const ece = (bins) =>
  bins.reduce((sum, bin) => sum + Math.abs(bin.right - bin.sure), 0) /
  bins.reduce((sum, bin) => sum + bin.n, 0);

/** The same confidences with answers of a calibrated network: each is right with that probability. */
export const calibrated = (values, random) =>
  values.map((value) => (random() < Math.abs(value) ? Math.abs(value) : -Math.abs(value)));
