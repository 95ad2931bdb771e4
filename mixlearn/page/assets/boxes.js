// The arithmetic of boxes. A box is [x, y, width, height] as asked, [x0, y0, x1, y1] once clipped.
import { roundEven, describe } from "./mix.js";

/** Width and height of the box that leaves a share λ: √(1 − λ) of each side, halves to even. */
export function boxSides(lam, height, width) {
  const side = Math.sqrt(1 - lam);
  return [roundEven(side * width), roundEven(side * height)];
}

/** The part of a box that lies in the image. */
export function clipBox([x, y, w, h], height, width) {
  const within = (value, size) => Math.max(0, Math.min(size, value));
  return [within(x, width), within(y, height), within(x + w, width), within(y + h, height)];
}

/** The share of its own pixels that an image keeps under a clipped box. */
export function keptShare([x0, y0, x1, y1], height, width) {
  return 1 - ((x1 - x0) * (y1 - y0)) / (height * width);
}

/** A box of these sides around a pixel, as sample_boxes places it. */
export function boxAround(column, row, w, h) {
  return [column - Math.floor(w / 2), row - Math.floor(h / 2), w, h];
}

/** The middle pixel of a box. */
export function boxCentre([x, y, w, h]) {
  return [x + Math.floor(w / 2), y + Math.floor(h / 2)];
}

/** The nearest box that CutMix could draw: no larger than the image, and its centre in the image. */
export function holdBox([x, y, w, h], height, width) {
  const between = (value, low, high) => Math.max(low, Math.min(high, value));
  const wide = between(w, 0, width),
    tall = between(h, 0, height);
  const [column, row] = boxCentre([x, y, wide, tall]);
  return boxAround(between(column, 0, width - 1), between(row, 0, height - 1), wide, tall);
}

/** A box for λ around a uniform pixel. */
export function throwBox(lam, height, width, random) {
  const [w, h] = boxSides(lam, height, width);
  return boxAround(Math.floor(random() * width), Math.floor(random() * height), w, h);
}

/** Mean share that is kept when a share λ is asked and the centre is uniform, on a fine grid. */
export function meanKept(lam) {
  const r = Math.sqrt(1 - lam);
  return 1 - (r - (r * r) / 4) ** 2;
}

/** How often each pixel was pasted: four changes for a box, one sum over the image when it is read. */
export function heatMap(height, width) {
  const stride = width + 1,
    steps = new Int32Array((height + 1) * stride);
  return {
    height,
    width,
    add([x0, y0, x1, y1]) {
      steps[y0 * stride + x0] += 1;
      steps[y0 * stride + x1] -= 1;
      steps[y1 * stride + x0] -= 1;
      steps[y1 * stride + x1] += 1;
    },
    counts() {
      const found = new Int32Array(height * width),
        column = new Int32Array(width);
      for (let y = 0; y < height; y++) {
        for (let x = 0, sum = 0; x < width; x++) {
          column[x] += steps[y * stride + x];
          sum += column[x];
          found[y * width + x] = sum;
        }
      }
      return found;
    },
  };
}

/** A square picture (4 bytes a pixel) at another size: row floor(i · size / height), and columns alike. */
export function nearest(data, size, height, width) {
  const out = new Uint8ClampedArray(4 * height * width);
  for (let y = 0, k = 0; y < height; y++) {
    const row = Math.floor((y * size) / height) * size;
    for (let x = 0; x < width; x++, k += 4) {
      const from = 4 * (row + Math.floor((x * size) / width));
      out.set(data.subarray(from, from + 4), k);
    }
  }
  return out;
}

/** A copy of one picture with a clipped box of another in it. */
export function pasteBox(own, partner, [x0, y0, x1, y1], width) {
  const out = own.slice();
  for (let y = y0; y < y1; y++) {
    const from = 4 * (y * width + x0),
      to = 4 * (y * width + x1);
    out.set(partner.subarray(from, to), from);
  }
  return out;
}

/** The sentence of MixPlan.describe for two images and a clipped box. */
export function describeBox(share, own, partner, [x0, y0, x1, y1]) {
  return `${describe(share, own, partner)}, box x ${x0}–${x1}, y ${y0}–${y1}`;
}
