// The arithmetic of PatchMix: groups of patches, W, W·Wᵀ, the released targets, where patches lie at each
// step.
import { percent } from "./mix.js";

/** A permutation of 0…count−1. */
export function permutation(count, random) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export function isPermutation(order, count) {
  return order.length === count && [...order].sort((a, b) => a - b).every((v, i) => v === i);
}

/**
 * The plan of a batch: the group and the slot of each patch (−1: left over, so the image's own), and how
 * many patches each group has.
 */
export function patchPlan(order, batch, parts) {
  const count = order.length,
    each = Math.floor(count / parts),
    groups = Array(count),
    slots = Array(count);
  order.forEach((patch, slot) => {
    slots[patch] = slot;
    groups[patch] = slot < each * parts ? Math.floor(slot / each) : -1;
  });
  const source = (mixture, patch) => (mixture + Math.max(groups[patch], 0)) % batch;
  const target = (image, patch) => (((image - Math.max(groups[patch], 0)) % batch) + batch) % batch;
  return { count, each, batch, parts, groups, slots, left: count - each * parts, source, target };
}

/** W: how much of each image there is in each mixture. */
export function sourceMatrix({ batch, count, source }) {
  return Array.from({ length: batch }, (_, i) => {
    const row = Array(batch).fill(0);
    for (let patch = 0; patch < count; patch++) row[source(i, patch)] += 1;
    return row.map((n) => n / count);
  });
}

/** W·Wᵀ. */
export function agreement(matrix) {
  return matrix.map((a) => matrix.map((b) => a.reduce((sum, v, j) => sum + v * b[j], 0)));
}

/**
 * The targets of the released code, mixture to image and mixture to mixture: written place by place, a
 * later one over an earlier.
 */
export function releasedTargets(batch, parts) {
  const blank = () => Array.from({ length: batch }, () => Array(batch).fill(0)),
    origin = blank(),
    mixes = blank();
  for (let i = 0; i < batch; i++) {
    for (let g = 0; g < parts; g++) origin[i][(i + g) % batch] = 1 / parts;
    for (let d = 1 - parts; d < parts; d++)
      mixes[i][(((i + d) % batch) + batch) % batch] = (1 - Math.abs(d) / parts) / parts;
  }
  return [origin, mixes];
}

/** The sentence of PatchPlan.describe. */
export function describeMixture({ batch, parts, each, count, left }, i, names) {
  const shares = new Map();
  for (let g = 0; g < parts; g++) {
    const name = names[(i + g) % batch];
    shares.set(name, (shares.get(name) || 0) + (each + (g ? 0 : left)) / count);
  }
  return [...shares].map(([name, share]) => `${percent(share)} ${name}`).join(" + ");
}

/**
 * Blocks of patches, one a group and one for those left over, as large as a square of `side` allows: where
 * each slot lies, and the side of a patch in it.
 */
export function clusters({ each, parts, left, count }, patch, side, gap, between) {
  const blocks = [...Array(parts).fill(each), ...(left ? [left] : [])];
  let best = null;
  for (let across = 1; across <= blocks.length; across++) {
    // blocks side by side
    for (let wide = 1; wide <= each; wide++) {
      // patches side by side in a block
      const high = [];
      blocks.forEach((size, b) => {
        const row = Math.floor(b / across);
        high[row] = Math.max(high[row] || 0, Math.ceil(size / wide));
      });
      const rows = high.reduce((a, b) => a + b, 0);
      const room = (n, groups) => (side - (n - groups) * gap - (groups - 1) * between) / n;
      const size = Math.min(patch, room(across * wide, across), room(rows, high.length));
      if (!best || size > best.size) best = { size, across, wide, high, rows };
    }
  }
  const { size, across, wide, high, rows } = best,
    step = size + gap,
    places = [];
  const width = across * wide * step - across * gap + (across - 1) * between,
    height = rows * step - high.length * gap + (high.length - 1) * between;
  for (let slot = 0; slot < count; slot++) {
    const block = Math.min(Math.floor(slot / each), blocks.length - 1),
      inside = slot - block * each,
      column = block % across,
      row = Math.floor(block / across);
    const above = high.slice(0, row).reduce((sum, n) => sum + n * step - gap + between, 0);
    places.push([
      (side - width) / 2 + column * (wide * step - gap + between) + (inside % wide) * step,
      (side - height) / 2 + above + Math.floor(inside / wide) * step,
    ]);
  }
  return { places, size };
}
