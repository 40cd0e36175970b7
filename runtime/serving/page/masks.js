// Masks: from COCO's run lengths to what is drawn.

import { PALETTE } from "./colors.js";

// COCO's compressed run lengths: 5 bits a character, each count less the one two before it.
function decodeCounts(text) {
  const counts = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const code = text.charCodeAt(at++) - 48;
      value += (code & 31) * 2 ** shift;
      more = (code & 32) !== 0;
      shift += 5;
      if (!more && code & 16) value -= 2 ** shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

// Ends of the runs, zeros first: position x * height + y lies in a run of ones if an odd number of ends are at or below it.
function runEnds(counts) {
  const ends = new Float64Array(counts.length);
  let end = 0;
  counts.forEach((count, i) => (ends[i] = end += count));
  return ends;
}

export function covers(ends, position) {
  let low = 0, high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] <= position) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}

// Makes of an instance what is drawn of it: its mask and outline, cut out, and the ends of its runs.
export function prepare(instance, target) {
  const made = { ...instance, ends: null, area: instance.bbox[2] * instance.bbox[3], crop: null };
  if (!instance.segmentation) return made;
  const [height] = instance.segmentation.size;
  const counts = decodeCounts(instance.segmentation.counts);
  const ends = (made.ends = runEnds(counts));
  let left = Infinity, right = -1, top = height, bottom = -1;
  made.area = 0;
  const columns = []; // [x, from, to) of each piece of a run
  for (let i = 1; i < ends.length; i += 2) {
    made.area += counts[i];
    for (let from = ends[i - 1]; from < ends[i]; ) {
      const x = Math.floor(from / height);
      const to = Math.min(ends[i], (x + 1) * height);
      columns.push([x, from - x * height, to - x * height]);
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, from - x * height);
      bottom = Math.max(bottom, to - x * height);
      from = to;
    }
  }
  if (right < 0) return made;
  const line = Math.max(2, Math.round(Math.sqrt(target.width * target.height) / 400));
  const [width, tall] = [right + 1 - left, bottom - top];
  const mask = new OffscreenCanvas(width, tall);
  const pixels = new ImageData(width, tall);
  const [red, green, blue] = PALETTE[(instance.category_id - 1) % PALETTE.length];
  for (const [x, from, to] of columns) {
    for (let y = from; y < to; y++) {
      const at = 4 * ((y - top) * width + x - left);
      pixels.data[at] = red;
      pixels.data[at + 1] = green;
      pixels.data[at + 2] = blue;
      pixels.data[at + 3] = 255;
    }
  }
  mask.getContext("2d").putImageData(pixels, 0, 0);
  // The outline: the mask moved in all directions, less the mask itself.
  const outline = new OffscreenCanvas(width + 2 * line, tall + 2 * line);
  const pen = outline.getContext("2d");
  for (let turn = 0; turn < 16; turn++) {
    const angle = (turn * Math.PI) / 8;
    pen.drawImage(mask, line + line * Math.cos(angle), line + line * Math.sin(angle));
  }
  pen.globalCompositeOperation = "destination-out";
  pen.drawImage(mask, line, line);
  made.crop = { left, top, mask, outline, line };
  return made;
}
