// The pointer and the arrow keys on the picture: which instance is meant.

import { $ } from "./dom.js";
import { covers } from "./masks.js";
import { activate } from "./panels.js";
import { item, shown, state } from "./state.js";

function pointed(event) {
  const target = item(), box = $("view").getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * target.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * target.height);
  if (x < 0 || y < 0 || x >= target.width || y >= target.height) return null;
  const inside = (each) => {
    if (each.ends) return covers(each.ends, x * target.height + y);
    const [left, top, width, height] = each.bbox;
    return x >= left && y >= top && x < left + width && y < top + height;
  };
  return shown(target).filter(inside).sort((a, b) => a.area - b.area)[0] || null;
}

export function hover(event) {
  if (!item()?.instances) return;
  const found = pointed(event);
  activate(found);
  const tip = $("tip");
  tip.hidden = !found;
  if (!found) return;
  tip.textContent = `${found.category} ${(100 * found.score).toFixed(1)} %`;
  const box = $("drop").getBoundingClientRect();
  const left = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 4);
  tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, event.clientY - box.top - 34)}px)`;
}

export function unhover() {
  $("tip").hidden = true;
  activate(null);
}

// The next or the one before.
export function step(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const instances = shown(item());
  if (!by || !instances.length) return;
  event.preventDefault();
  const at = instances.indexOf(state.active);
  activate(instances[at < 0 ? (by > 0 ? 0 : instances.length - 1) : (at + by + instances.length) % instances.length]);
}
