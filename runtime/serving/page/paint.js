// Drawing a picture with what was found in it.

import { PALETTE, color } from "./colors.js";
import { percent } from "./dom.js";
import { shown, state } from "./state.js";

// Draws a picture with what is shown of it onto a canvas, `scale` pixels of it to one of the picture.
export function paint(canvas, target, scale, density = 1) {
  canvas.width = Math.round(target.width * scale);
  canvas.height = Math.round(target.height * scale);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(target.bitmap, 0, 0, canvas.width, canvas.height);
  const instances = shown(target);
  const byArea = [...instances].sort((a, b) => b.area - a.area);
  for (const each of byArea) {
    const active = each === state.active;
    if (each.crop) {
      const { left, top, mask, outline, line } = each.crop;
      pen.globalAlpha = active ? 0.7 : state.active ? 0.28 : 0.45;
      pen.drawImage(mask, left * scale, top * scale, mask.width * scale, mask.height * scale);
      pen.globalAlpha = state.active && !active ? 0.6 : 1;
      pen.drawImage(outline, (left - line) * scale, (top - line) * scale, outline.width * scale, outline.height * scale);
    } else {
      pen.globalAlpha = state.active && !active ? 0.5 : 1;
      pen.lineWidth = (active ? 3 : 2) * density;
      pen.strokeStyle = color(each.category_id);
      pen.strokeRect(...each.bbox.map((side) => side * scale));
    }
    for (let i = 0; each.keypoints && i < each.keypoints.length; i += 3) {
      pen.beginPath();
      pen.arc(each.keypoints[i] * scale, each.keypoints[i + 1] * scale, 3.5 * density, 0, 2 * Math.PI);
      pen.fillStyle = "white";
      pen.fill();
      pen.lineWidth = 1.5 * density;
      pen.strokeStyle = color(each.category_id);
      pen.stroke();
    }
  }
  pen.globalAlpha = 1;
  paintPlates(pen, instances, scale, density);
}

// Class and score of each, best first; where there is no room, those under the pointer alone.
function paintPlates(pen, instances, scale, density) {
  const size = 13 * density, padding = 5 * density, height = size + 2 * padding - 2 * density;
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  const taken = [];
  const order = state.active && instances.includes(state.active) ? [state.active, ...instances] : instances;
  for (const each of order) {
    const text = `${each.category} ${percent(each.score)}`;
    const width = pen.measureText(text).width + 2 * padding;
    const [x, y] = each.bbox.map((side) => side * scale);
    const left = Math.max(0, Math.min(x, pen.canvas.width - width));
    const top = Math.max(0, Math.min(y - height, pen.canvas.height - height));
    const free = taken.every(([a, b, w]) => left >= a + w || left + width <= a || top >= b + height || top + height <= b);
    if (!free) continue;
    taken.push([left, top, width]);
    const [red, green, blue] = PALETTE[(each.category_id - 1) % PALETTE.length];
    pen.fillStyle = color(each.category_id);
    pen.beginPath();
    pen.roundRect(left, top, width, height, 4 * density);
    pen.fill();
    pen.fillStyle = 0.299 * red + 0.587 * green + 0.114 * blue > 128 ? "#141414" : "white";
    pen.fillText(text, left + padding, top + height / 2 + 0.5 * density);
  }
}
