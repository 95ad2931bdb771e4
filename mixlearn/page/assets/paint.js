// The arithmetic of painted masks: one byte a pixel, how much of the partner is seen; 255 is all of it.

/** λ: the image's own share, the mean over the pixels. */
export function ownShare(mask) {
  let sum = 0;
  for (const value of mask) sum += value;
  return 1 - sum / (255 * mask.length);
}

/**
 * How strongly a brush marks a pixel at a distance: 1 within the radius, beyond it a Gaussian of this blur.
 */
export function brushWeight(distance, radius, blur) {
  if (distance <= radius) return 1;
  return blur > 0 ? Math.exp(-((distance - radius) ** 2) / (2 * blur * blur)) : 0;
}

/** In place: a dab of the brush around a pixel. Painting only raises the mask, erasing only lowers it. */
export function dab(mask, side, column, row, { size, blur, erase }) {
  for (let y = 0, i = 0; y < side; y++) {
    for (let x = 0; x < side; x++, i++) {
      const value = Math.round(255 * brushWeight(Math.hypot(x - column, y - row), size / 2, blur));
      mask[i] = erase ? Math.min(mask[i], 255 - value) : Math.max(mask[i], value);
    }
  }
  return mask;
}

/** In place: dabs from one pixel to another, a pixel apart. */
export function stroke(mask, side, [x0, y0], [x1, y1], brush) {
  const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let i = 0; i <= steps; i++) {
    dab(
      mask,
      side,
      Math.round(x0 + ((x1 - x0) * i) / steps),
      Math.round(y0 + ((y1 - y0) * i) / steps),
      brush,
    );
  }
  return mask;
}

export function inverted(mask) {
  return mask.map((value) => 255 - value);
}

/** The same share of the partner at each pixel, so that λ is as near as bytes allow: Mixup. */
export function filled(length, lam) {
  return new Uint8Array(length).fill(Math.round(255 * (1 - lam)));
}

/** Planes of values in [0, 1] under a mask, of two images of planes of bytes. */
export function underMask(own, partner, mask) {
  const out = new Float64Array(own.length),
    each = mask.length;
  for (let i = 0; i < out.length; i++) {
    const m = mask[i % each];
    out[i] = (own[i] * (255 - m) + partner[i] * m) / (255 * 255);
  }
  return out;
}

/** The three planes of bytes of a square cut out of a picture (4 bytes a pixel). */
export function planes({ data, width }, left, side) {
  const out = new Uint8ClampedArray(3 * side * side);
  for (let c = 0, i = 0; c < 3; c++) {
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++, i++) out[i] = data[4 * (y * width + left + x) + c];
  }
  return out;
}

/** The first channel of a square cut out of a picture (4 bytes a pixel). */
export function square({ data, width }, left, top, side) {
  const out = new Uint8Array(side * side);
  for (let y = 0, i = 0; y < side; y++)
    for (let x = 0; x < side; x++, i++) out[i] = data[4 * ((top + y) * width + left + x)];
  return out;
}

/**
 * The edge of what is painted, as an SVG path: between a pixel that shows more of the partner and one that
 * does not.
 */
export function edgePath(mask, side) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < side && y < side && mask[y * side + x] > 127;
  let path = "";
  for (let y = 0; y <= side; y++) {
    for (let x = 0; x <= side; x++) {
      if (inside(x, y) !== inside(x, y - 1)) path += `M${x} ${y}h1`;
      if (inside(x, y) !== inside(x - 1, y)) path += `M${x} ${y}v1`;
    }
  }
  return path;
}
