// A pair of images: its pixels, and the code that reads it and a painted mask.
import { toBase64 } from "./net.js";
import { planes } from "./paint.js";
import { pixels, quoted } from "./kit.js";

/** What the page is told of a pair, with the planes of both images. */
export async function readPair(pair, side) {
  const pictures = await pixels(pair.pictures);
  return { ...pair, own: planes(pictures, 0, side), partner: planes(pictures, side, side) };
}

/** The same pair seen from the partner's side. */
export function turned({ own, partner, ...pair }) {
  return {
    ...pair,
    own: partner,
    partner: own,
    words: [...pair.words].reverse(),
    labels: [...pair.labels].reverse(),
    places: [...pair.places].reverse(),
  };
}

/**
 * Python that reads a pair and a mask of bytes: `images`, `labels`, and `own`, the image's share of each
 * pixel.
 */
export function paintedCode({ places, words }, mask, side, shipped) {
  return (
    (shipped
      ? `part = ml.data.load("emoji").tests["designers"]\n`
      : "# part: the images that the widget was given\n") +
    `images, labels = part.batch([${places.join(", ")}])                     # ` +
    `${quoted(words.join(" + ")).slice(1, -1)}\n` +
    `painted = bytearray(base64.b64decode(\n    ${quoted(toBase64(mask))}))\n` +
    `own = 1 - torch.frombuffer(painted, dtype=torch.uint8).view(1, 1, ${side}, ${side}).double() / 255\n`
  );
}
