// The Mix Block in the page: a mask for a pair of images, from what a network sees in both, at any λ.
import { readWeights, network } from "./net.js";

/**
 * A recorded run: its header, and a frame for each epoch kept: the network up to the stage, and the two
 * maps.
 */
export function readFilm(bytes) {
  const { facts, tensors } = readWeights(bytes);
  const linear = (prefix) => ({
    weight: tensors[`${prefix}.weight`].values,
    bias: tensors[`${prefix}.bias`].values,
    inside: tensors[`${prefix}.weight`].shape[1],
  });
  const frames = facts.epochs.map((epoch) => {
    const own = Object.entries(tensors).filter(([name]) => name.startsWith(`${epoch}.`));
    const named = own.map(([name, tensor]) => [name.slice(`${epoch}.`.length), tensor]);
    const { mean, std } = facts;
    return {
      ...network(Object.fromEntries(named)),
      ...{ mean, std, look: linear(`${epoch}.block.look`), value: linear(`${epoch}.block.value`) },
    };
  });
  return { ...facts, frames };
}

/**
 * A linear map of each place's features, with λ as one more channel where the map has a column for it: a
 * list for each place.
 */
function mapped({ channels, height, width, data }, { weight, bias, inside }, lam) {
  const each = height * width;
  return Array.from({ length: each }, (_, i) =>
    Float64Array.from(bias, (sum, o) => {
      let total = sum + (inside > channels ? weight[o * inside + channels] * lam : 0);
      for (let c = 0; c < channels; c++) total += weight[o * inside + c] * data[c * each + i];
      return total;
    }),
  );
}

/**
 * The partner's score at each place: softmax(Q Kᵀ / √d) V, queries of the image, keys and values of its
 * partner.
 */
export function blockScores({ look, value }, own, partner, lam) {
  const queries = mapped(own, look, lam),
    keys = mapped(partner, look, 1 - lam),
    values = mapped(partner, value, 1 - lam);
  const scale = 1 / Math.sqrt(keys[0].length),
    logits = new Float64Array(keys.length);
  return queries.map((query) => {
    let top = -Infinity,
      sum = 0,
      found = 0;
    keys.forEach((key, j) => {
      let dot = 0;
      for (let c = 0; c < query.length; c++) dot += query[c] * key[c];
      logits[j] = dot * scale;
      top = Math.max(top, logits[j]);
    });
    values.forEach(([v], j) => {
      const weight = Math.exp(logits[j] - top);
      sum += weight;
      found += weight * v;
    });
    return found / sum;
  });
}

/** The partner's share of each pixel, in [0, 255]: sigmoid of the scores, each place enlarged to a square. */
export function blockMask(frame, own, partner, lam, side) {
  const places = own.width,
    step = side / places,
    shares = blockScores(frame, own, partner, lam).map((score) => 255 / (1 + Math.exp(-score)));
  return Float64Array.from(
    { length: side * side },
    (_, i) => shares[Math.floor(Math.floor(i / side) / step) * places + Math.floor((i % side) / step)],
  );
}
