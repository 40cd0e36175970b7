// Files to keep: COCO JSON of all pictures, an overlay of one.

import { element } from "./dom.js";
import { paint } from "./paint.js";
import { item, shown, state } from "./state.js";

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function saveJson() {
  const done = state.items.filter((each) => each.instances && !each.error);
  const annotations = [];
  done.forEach((each, i) => {
    for (const { category, ends, area, crop, ...record } of shown(each)) {
      annotations.push({ id: annotations.length + 1, image_id: i + 1, ...record, area, iscrowd: 0 });
    }
  });
  const content = {
    images: done.map((each, i) => ({ id: i + 1, file_name: each.name, width: each.width, height: each.height })),
    categories: state.categories,
    annotations,
  };
  save(new Blob([JSON.stringify(content)], { type: "application/json" }), "instances.json");
}

export function saveOverlay() {
  const target = item(), canvas = document.createElement("canvas");
  state.active = null;
  paint(canvas, target, 1, Math.max(1, Math.sqrt(target.width * target.height) / 800));
  canvas.toBlob((blob) => save(blob, `${target.name.replace(/\.[^.]*$/, "")}_instances.png`), "image/png");
}
