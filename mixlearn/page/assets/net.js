// Networks in the page: residual ones of basic blocks, their batch normalisations folded away.

/** Bytes of a base64 text. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

/** Base64 text of bytes. */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

/** The number that 16 bits of half precision stand for. */
export function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1,
    exponent = (bits >> 10) & 31,
    fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (2 ** -14 * fraction) / 1024);
}

/**
 * Facts and tensors by name from a safetensors file: length of the header, header (JSON), numbers in half
 * precision.
 */
export function readWeights(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    start = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const taken = Math.max(...Object.values(entries).map((entry) => entry.data_offsets[1]));
  if (start + taken !== bytes.byteLength)
    throw new Error(
      `the file of weights holds ${bytes.byteLength} bytes, its header lists ${start + taken}`,
    );
  const tensors = {};
  for (const [name, { shape, data_offsets }] of Object.entries(entries)) {
    const values = new Float64Array(shape.reduce((a, b) => a * b, 1));
    values.forEach((_, i) => (values[i] = fromHalf(view.getUint16(start + data_offsets[0] + 2 * i, true))));
    tensors[name] = { shape, values };
  }
  return { facts: JSON.parse(__metadata__.facts), tensors };
}

/** A network of named tensors: stem, residual blocks, and a head where there is one. */
export function network(tensors) {
  const layer = (name, stride = 1) => {
    const weight = tensors[`${name}.weight`];
    return (
      weight && { weight: weight.values, bias: tensors[`${name}.bias`].values, shape: weight.shape, stride }
    );
  };
  const blocks = [];
  for (const name of Object.keys(tensors)) {
    const found = name.match(/^(groups\.\d+\.\d+)\.first\.weight$/);
    if (!found) continue;
    // a projection stands where the size is halved
    const stride = tensors[`${found[1]}.shortcut.0.weight`] ? 2 : 1;
    blocks.push({
      first: layer(`${found[1]}.first`, stride),
      second: layer(`${found[1]}.second`),
      shortcut: layer(`${found[1]}.shortcut.0`, stride),
    });
  }
  return { stem: layer("stem.0"), blocks, head: layer("head") };
}

/** The classifier from its file. */
export function readNet(bytes) {
  const { facts, tensors } = readWeights(bytes);
  return { ...facts, ...network(tensors) };
}

/** A convolution of square kernels (padding: half the kernel) of planes { channels, height, width, data }. */
export function convolve({ channels, height, width, data }, { weight, bias, shape, stride }) {
  const [outside, , size] = shape,
    pad = size >> 1,
    W = width + 2 * pad,
    plane = (height + 2 * pad) * W;
  const padded = new Float64Array(channels * plane);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const from = (c * height + y) * width;
      padded.set(data.subarray(from, from + width), c * plane + (y + pad) * W + pad);
    }
  }
  const h = Math.floor((height - 1) / stride) + 1,
    w = Math.floor((width - 1) / stride) + 1,
    out = new Float64Array(outside * h * w);
  for (let o = 0; o < outside; o++) {
    const sum = out.subarray(o * h * w, (o + 1) * h * w).fill(bias[o]);
    for (let c = 0; c < channels; c++) {
      const k = (o * channels + c) * size * size;
      if (size === 1) {
        for (let y = 0, i = 0; y < h; y++) {
          for (let x = 0, p = c * plane + y * stride * W; x < w; x++, i++, p += stride)
            sum[i] += weight[k] * padded[p];
        }
        continue;
      }
      const a = weight[k],
        b = weight[k + 1],
        d = weight[k + 2],
        e = weight[k + 3],
        f = weight[k + 4],
        g = weight[k + 5];
      const l = weight[k + 6],
        m = weight[k + 7],
        n = weight[k + 8];
      for (let y = 0, i = 0; y < h; y++) {
        for (
          let x = 0, p = c * plane + y * stride * W, q = p + W, r = q + W;
          x < w;
          x++, i++, p += stride, q += stride, r += stride
        ) {
          sum[i] +=
            a * padded[p] +
            b * padded[p + 1] +
            d * padded[p + 2] +
            e * padded[q] +
            f * padded[q + 1] +
            g * padded[q + 2] +
            l * padded[r] +
            m * padded[r + 1] +
            n * padded[r + 2];
        }
      }
    }
  }
  return { channels: outside, height: h, width: w, data: out };
}

/** In place: what is negative becomes 0, once another's data have been added. */
function rectify(planes, added) {
  const { data } = planes;
  for (let i = 0; i < data.length; i++) data[i] = Math.max(0, added ? data[i] + added.data[i] : data[i]);
  return planes;
}

/** What the last block sees of an image: planes of values in [0, 1], normalised here. */
export function features(net, image, height, width) {
  const channels = net.mean.length,
    data = new Float64Array(image.length),
    each = height * width;
  for (let i = 0; i < data.length; i++) {
    const c = Math.floor(i / each);
    data[i] = (image[i] - net.mean[c]) / net.std[c];
  }
  let hidden = rectify(convolve({ channels, height, width, data }, net.stem));
  for (const { first, second, shortcut } of net.blocks) {
    const beside = shortcut ? convolve(hidden, shortcut) : hidden;
    hidden = rectify(convolve(rectify(convolve(hidden, first)), second), beside);
  }
  return hidden;
}

/** Logits of an image. */
export function forward(net, image, height, width) {
  const hidden = features(net, image, height, width);
  const {
      weight,
      bias,
      shape: [classes, inside],
    } = net.head,
    area = hidden.height * hidden.width;
  const pooled = Array.from(
    { length: inside },
    (_, c) => hidden.data.subarray(c * area, (c + 1) * area).reduce((a, b) => a + b, 0) / area,
  );
  return Array.from({ length: classes }, (_, o) =>
    pooled.reduce((sum, value, c) => sum + weight[o * inside + c] * value, bias[o]),
  );
}

export function softmax(logits) {
  const top = Math.max(...logits),
    powers = logits.map((value) => Math.exp(value - top)),
    sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** 100 · exp(−KL(ỹ ‖ p)), where ỹ is λ of one class and 1 − λ of another. */
export function maskScore(logits, own, partner, lam) {
  const top = Math.max(...logits),
    total = top + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - top), 0));
  const term = (share, k) => (share > 0 ? share * (Math.log(share) - logits[k] + total) : 0);
  return 100 * Math.min(1, Math.exp(-term(lam, own) - term(1 - lam, partner)));
}
