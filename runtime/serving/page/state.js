// What the page knows: the pictures with what was found in them, and what of it is shown.

import { $ } from "./dom.js";

// The score that is asked for: everything above the slider is here already, so that the slider answers at once.
export const ASKED_SCORE = 0.05;

export const state = {
  items: [], // {name, blob, bitmap, width, height, instances, seconds, total, asked, error}
  current: -1,
  hidden: new Set(), // classes that are not shown
  active: null, // the instance under the pointer or the focus
  model: null,
  categories: [], // {id, name}
  key: sessionStorage.getItem("maskrt-key") || "",
  camera: null,
};

export const item = () => state.items[state.current];
export const score = () => Number($("score").value);
export const nms = () => Number($("nms").value);

// Whether the server is to be asked again: what it found was for other thresholds.
export function stale(target) {
  return !target.asked || target.asked.nms !== nms() || (score() < ASKED_SCORE && target.asked.score > 0);
}

// What is shown of a picture, best first.
export function shown(target) {
  const least = score();
  return (target?.instances || []).filter((each) => each.score > least && !state.hidden.has(each.category));
}
