// The arithmetic of the widgets. Pure functions: no page, no global state, no network.

/** λ·A + (1 − λ)·B for two arrays of 8-bit channels, rounded as torch rounds: halves to even. */
export function mixBytes(out, own, partner, share) {
  for (let i = 0; i < out.length; i++) out[i] = roundEven(share * own[i] + (1 - share) * partner[i]);
  return out;
}

export function roundEven(value) {
  const low = Math.floor(value),
    rest = value - low;
  if (Math.abs(rest - 0.5) > 1e-9) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

/** A share as whole per cent, "63 %". */
export function percent(share) {
  return `${roundEven(100 * share)} %`;
}

/** The sentence of MixPlan.describe for two images. */
export function describe(share, own, partner) {
  if (own === partner) return `100 % ${own}`;
  return `${percent(share)} ${own} + ${percent(1 - share)} ${partner}`;
}

/** A small seeded source of uniform numbers in (0, 1). */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

function normal(random) {
  return Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
}

/** log of a Gamma(α) draw: Marsaglia and Tsang for α + 1, then times U^(1/α), so small α cannot underflow. */
function logGammaDraw(alpha, random) {
  const d = alpha + 1 - 1 / 3,
    c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(random),
      v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
      return Math.log(d * v) + Math.log(random()) / alpha;
    }
  }
}

/** A draw of λ from Beta(α, α). */
export function betaDraw(alpha, random) {
  return 1 / (1 + Math.exp(logGammaDraw(alpha, random) - logGammaDraw(alpha, random)));
}

/** log Γ(x) for x > 0 (Lanczos). */
export function logGamma(x) {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const p = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  let sum = 0.99999999999980993;
  p.forEach((value, i) => {
    sum += value / (x + i);
  });
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

export function logBeta(alpha) {
  return 2 * logGamma(alpha) - logGamma(2 * alpha);
}

/** Density of Beta(α, α) at x. */
export function betaDensity(x, alpha) {
  return Math.exp((alpha - 1) * (Math.log(x) + Math.log(1 - x)) - logBeta(alpha));
}

/** Probability that a Beta(α, α) variable is at most x: the regularised incomplete beta function. */
export function betaBelow(x, alpha) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > 0.5) return 1 - betaBelow(1 - x, alpha);
  const front = Math.exp(alpha * (Math.log(x) + Math.log(1 - x)) - logBeta(alpha)) / alpha;
  let c = 1,
    d = 1 - (2 * alpha * x) / (alpha + 1);
  d = 1 / (Math.abs(d) < 1e-300 ? 1e-300 : d);
  let f = d;
  for (let m = 1; m < 500; m++) {
    for (const odd of [false, true]) {
      const k = alpha + 2 * m;
      const a = odd
        ? -((alpha + m) * (2 * alpha + m) * x) / (k * (k + 1))
        : (m * (alpha - m) * x) / ((k - 1) * k);
      d = 1 + a * d;
      d = 1 / (Math.abs(d) < 1e-300 ? 1e-300 : d);
      c = 1 + a / c;
      if (Math.abs(c) < 1e-300) c = 1e-300;
      f *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-14) break;
  }
  return front * f;
}

/** Mean of min(λ, 1 − λ): ½ − 1 / (α 4^α B(α, α)). */
export function meanSmallerShare(alpha) {
  return 0.5 - Math.exp(-Math.log(alpha) - alpha * Math.log(4) - logBeta(alpha));
}

/** Probability that the larger share is at least `least`. */
export function looksUnmixed(alpha, least) {
  return 2 * betaBelow(1 - least, alpha);
}
