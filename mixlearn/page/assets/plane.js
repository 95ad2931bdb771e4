// Logistic regression on fixed features of the plane: points, three ways to augment them, the fit, intrusion.
import { betaBelow } from "./mix.js";

export const FEATURES = 64; // hinges, besides the constant
export const RIDGE = 1e-4; // on every weight but the constant's
const COPIES = 16, // of a point under jitter
  SHARES = 4; // of a pair under Mixup

/** The hinges max(0, a·x + b) of a network of two layers: directions a and offsets b, spread evenly. */
export function hinges(count) {
  return Array.from({ length: count }, (_, k) => {
    const angle = 2 * Math.PI * (((k + 1) * 0.7548776662466927) % 1);
    const offset = 1.2 * (2 * (((k + 1) * 0.5698402909980532) % 1) - 1);
    return [Math.cos(angle), Math.sin(angle), offset];
  });
}

/** The features of a point: a one, then its hinges. */
export function features([x, y], list) {
  return [1, ...list.map(([across, up, offset]) => Math.max(0, across * x + up * y + offset))];
}

/** Where noise of deviation `sigma` moves a point: sixteen equally likely places, on four rings. */
export function moves(sigma) {
  return Array.from({ length: COPIES }, (_, k) => {
    const radius = sigma * Math.sqrt(-2 * Math.log(1 - ((k % 4) + 0.5) / 4));
    const angle = 2 * Math.PI * (Math.floor(k / 4) / 4 + (k % 4) / 16);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

/** Four equally likely shares of Beta(α, α): the medians of its four quarters, found by halving. */
export function shares(alpha) {
  const half = Array.from({ length: SHARES / 2 }, (_, k) => {
    let low = 0,
      high = 0.5;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (betaBelow(middle, alpha) < (k + 0.5) / SHARES) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  });
  return [...half, ...half.map((lam) => 1 - lam).reverse()];
}

/** What a model is trained on: points, the share of class `own` in their labels, how often each counts. */
export function examples(points, classes, way, { jitter, alpha }, own = 1) {
  const labels = classes.map((label) => Number(label === own));
  const made = { points: [], targets: [], counts: [] };
  const add = (point, target, count) => {
    made.points.push(point);
    made.targets.push(target);
    made.counts.push(count);
  };
  if (way === "jitter") {
    const steps = moves(jitter);
    points.forEach(([x, y], i) => steps.forEach(([dx, dy]) => add([x + dx, y + dy], labels[i], 1 / COPIES)));
  } else if (way === "Mixup") {
    const list = shares(alpha),
      n = points.length; // a partner is any point, itself included
    points.forEach((p, i) => {
      add(p, labels[i], 1 / n);
      for (let j = 0; j < i; j++) {
        for (const lam of list) {
          add(
            [lam * p[0] + (1 - lam) * points[j][0], lam * p[1] + (1 - lam) * points[j][1]],
            lam * labels[i] + (1 - lam) * labels[j],
            2 / (n * SHARES),
          );
        }
      }
    });
  } else points.forEach((p, i) => add(p, labels[i], 1));
  return made;
}

const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** Solves A·x = b for a positive definite A, by its Cholesky factor, which takes the place of A. */
function solve(A, b, size) {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = A[i * size + j];
      for (let k = 0; k < j; k++) sum -= A[i * size + k] * A[j * size + k];
      A[i * size + j] = i === j ? Math.sqrt(sum) : sum / A[j * size + j];
    }
  }
  const x = Float64Array.from(b);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) x[i] -= A[i * size + k] * x[k];
    x[i] /= A[i * size + i];
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i] -= A[k * size + i] * x[k];
    x[i] /= A[i * size + i];
  }
  return x;
}

/**
 * The weights with the smallest mean cross-entropy plus ½ · RIDGE · |w|², by Newton's method; `start` are
 * weights to begin with.
 */
export function fit({ points, targets, counts }, start = null) {
  const list = hinges(FEATURES),
    size = FEATURES + 1,
    n = points.length;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const rows = new Float64Array(n * size);
  points.forEach((point, i) => rows.set(features(point, list), i * size));
  const penalty = (k) => (k ? RIDGE : 1e-9);
  const logits = (w) => {
    const z = new Float64Array(n);
    for (let i = 0; i < n; i++) for (let k = 0; k < size; k++) z[i] += rows[i * size + k] * w[k];
    return z;
  };
  const loss = (w, z) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (counts[i] / total) * (softplus(z[i]) - targets[i] * z[i]);
    for (let k = 0; k < size; k++) sum += 0.5 * penalty(k) * w[k] * w[k];
    return sum;
  };
  let w = start ? Float64Array.from(start) : new Float64Array(size),
    z = logits(w),
    height = loss(w, z);
  for (let step = 0; step < 40; step++) {
    const slope = w.map((value, k) => penalty(k) * value),
      bend = new Float64Array(size * size);
    for (let k = 0; k < size; k++) bend[k * size + k] = penalty(k);
    for (let i = 0; i < n; i++) {
      const p = sigmoid(z[i]),
        pull = (counts[i] / total) * (p - targets[i]),
        weight = (counts[i] / total) * p * (1 - p);
      for (let k = 0; k < size; k++) {
        const value = rows[i * size + k];
        if (!value) continue; // half of the hinges are zero
        slope[k] += pull * value;
        const scaled = weight * value;
        for (let m = 0; m <= k; m++) bend[k * size + m] += scaled * rows[i * size + m];
      }
    }
    const full = solve(bend, slope, size);
    let length = 1,
      next,
      there,
      lower;
    do {
      next = w.map((value, k) => value - length * full[k]);
      there = logits(next);
      lower = loss(next, there);
      length /= 2;
    } while (lower > height + 1e-12 && length > 1e-6);
    const gain = height - lower;
    [w, z, height] = [next, there, lower];
    if (gain < 1e-10) break;
  }
  return w;
}

/** The probability of class 1 at `across` × `across` places of the square [−1, 1]², row by row from below. */
export function surface(weights, across) {
  const list = hinges(weights.length - 1),
    found = new Float64Array(across * across);
  for (let row = 0; row < across; row++) {
    const y = -1 + (2 * row) / (across - 1);
    for (let column = 0; column < across; column++) {
      const x = -1 + (2 * column) / (across - 1);
      let z = weights[0];
      for (let k = 0; k < list.length; k++) {
        const hinge = list[k][0] * x + list[k][1] * y + list[k][2];
        if (hinge > 0) z += weights[k + 1] * hinge;
      }
      found[row * across + column] = sigmoid(z);
    }
  }
  return found;
}

/**
 * The probability of each class, from one model of class 1, or from one model of each class: their answers
 * divided by the sum.
 */
export function shared(answers) {
  if (answers.length === 1) return [answers[0].map((p) => 1 - p), answers[0]];
  const total = answers[0].map((_, i) => answers.reduce((sum, p) => sum + p[i], 0));
  return answers.map((p) => p.map((v, i) => v / total[i]));
}

/** How many points are on the side of their class, and on what share of the square the model is unsure. */
export function verdict(models, points, labels, chances) {
  const score = (w, point, list) => features(point, list).reduce((sum, value, k) => sum + value * w[k], 0);
  const there = shared(models.map((w) => points.map((p) => sigmoid(score(w, p, hinges(w.length - 1))))));
  const right = labels.filter((own, i) => there.every((p, c) => c === own || p[i] < there[own][i])).length;
  const unsure = chances[0].filter((_, i) => Math.max(...chances.map((p) => p[i])) < 0.9).length;
  return { right, unsure: unsure / chances[0].length };
}

/**
 * For each of three classes, the share of the mixtures of the other two that land in its disc: the smallest
 * one around the mean of its points that holds them all.
 */
export function intrusion(points, labels, alpha) {
  return [0, 1, 2].map((third) => {
    const of = (c) => points.filter((_, i) => labels[i] === c),
      disc = of(third),
      [a, b] = [0, 1, 2].filter((c) => c !== third).map(of);
    if (!disc.length || !a.length || !b.length) return 0;
    const mean = (k) => disc.reduce((sum, p) => sum + p[k], 0) / disc.length,
      [x, y] = [mean(0), mean(1)],
      radius = Math.max(...disc.map((p) => Math.hypot(p[0] - x, p[1] - y)));
    let sum = 0;
    for (const p of a) {
      for (const q of b) {
        const [dx, dy, ex, ey] = [p[0] - q[0], p[1] - q[1], q[0] - x, q[1] - y],
          length = dx * dx + dy * dy || 1e-12,
          middle = -(dx * ex + dy * ey) / length, // the λ that is nearest to the middle of the disc
          half = Math.sqrt((radius * radius - ex * ex - ey * ey) / length + middle * middle);
        if (half > 0) sum += betaBelow(middle + half, alpha) - betaBelow(middle - half, alpha);
      }
    }
    return sum / (a.length * b.length);
  });
}

/** The line on which two classes are equally likely, as segments [x0, y0, x1, y1] in [−1, 1]². */
export function border(chances, across) {
  const at = (v) => -1 + (2 * v) / (across - 1),
    found = [];
  for (let row = 0; row + 1 < across; row++) {
    for (let column = 0; column + 1 < across; column++) {
      const corners = [
        [column, row],
        [column + 1, row],
        [column + 1, row + 1],
        [column, row + 1],
      ].map(([x, y]) => [x, y, chances[y * across + x] - 0.5]);
      const cuts = [];
      corners.forEach(([x, y, value], i) => {
        const [x1, y1, other] = corners[(i + 1) % 4];
        if (value < 0 === other < 0) return;
        const part = value / (value - other);
        cuts.push([at(x + part * (x1 - x)), at(y + part * (y1 - y))]);
      });
      for (let i = 0; i + 1 < cuts.length; i += 2) found.push([...cuts[i], ...cuts[i + 1]]);
    }
  }
  return found;
}
