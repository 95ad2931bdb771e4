// Where the four images of a Mosaic lie, and what is seen of a box. Boxes are [x0, y0, x1, y1].

const area = ([x0, y0, x1, y1]) => Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
export const meet = (a, b) => a.map((v, i) => (i < 2 ? Math.max(v, b[i]) : Math.min(v, b[i])));

/** The box that each whole image fills, top left first; it may reach beyond the size. */
export function places(size, [x, y], scale) {
  const side = Math.fround(Math.fround(scale) * size),
    near = Math.round(side);
  const shown = Math.max(1, side % 1 === 0.5 && near % 2 ? near - 1 : near); // half to even, as torch rounds
  return [0, 1, 2, 3].map((k) => {
    const [left, top] = [k % 2 ? x : x - shown, k > 1 ? y : y - shown];
    return [left, top, left + shown, top + shown];
  });
}

/** A box of an image laid in a place: where all of it lies, the part that is seen, and its share. */
export function seen(box, place, size) {
  const scale = (place[2] - place[0]) / size,
    whole = box.map((v, i) => v * scale + place[i % 2]),
    part = meet(whole, [0, 0, size, size]);
  return { whole, part, visible: area(part) / area(whole) };
}

/** Red, green, blue and cover of a square of side `size` + 2 `margin`: faint beyond the mosaic's border. */
export function painted(photos, all, size, margin, [x, y], faint) {
  const side = size + 2 * margin,
    data = new Uint8ClampedArray(4 * side * side);
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const [u, v] = [column - margin, row - margin],
        inside = Math.min(u, v) >= 0 && Math.max(u, v) < size,
        k = (u >= x) + 2 * (v >= y),
        [left, top, right, bottom] = all[k],
        at = 4 * (row * side + column);
      const there = u >= left && u < right && v >= top && v < bottom;
      if (!there && !inside) continue;
      const from = [v - top, u - left].map((w) => Math.floor((w * size) / (right - left)));
      for (let c = 0; c < 3; c++)
        data[at + c] = there ? photos[k][4 * (from[0] * size + from[1]) + c] : 114;
      data[at + 3] = inside ? 255 : faint;
    }
  return data;
}
