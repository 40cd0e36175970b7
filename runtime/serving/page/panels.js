// What is on the page around the picture, and the picture itself.

import { color } from "./colors.js";
import { $, element, milliseconds, percent } from "./dom.js";
import { paint } from "./paint.js";
import { item, nms, score, shown, stale, state } from "./state.js";

const STAGES = ["decode", "preprocess", "queue", "infer", "postprocess", "network"];

export function setStatus(text) {
  $("status").textContent = text;
}

export function showError(sentence) {
  $("error").hidden = !sentence;
  $("error").textContent = sentence || "";
}

export function showValues() {
  $("score-value").textContent = percent(score());
  $("nms-value").textContent = percent(nms());
}

export function showPicture() {
  const target = item();
  const there = Boolean(target?.bitmap);
  $("empty").hidden = there;
  $("view").hidden = !there;
  $("drop").classList.toggle("filled", there);
  if (!there) return;
  const room = $("drop").clientWidth, tallest = Math.max(260, 0.72 * window.innerHeight);
  const fit = Math.min(room / target.width, tallest / target.height, 3);
  const density = window.devicePixelRatio || 1;
  $("view").style.width = `${Math.round(target.width * fit)}px`;
  $("view").style.height = `${Math.round(target.height * fit)}px`;
  paint($("view"), target, fit * density, density);
  const instances = shown(target);
  $("view").setAttribute("aria-label", `${target.name}: ${summary(instances)}`);
}

function summary(instances) {
  const counts = new Map();
  for (const { category } of instances) counts.set(category, (counts.get(category) || 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(", ") || "nothing found";
}

function swatch(category) {
  const made = element("span", { className: "swatch" });
  made.style.backgroundColor = color(category);
  return made;
}

function showClasses() {
  const least = score(), counts = new Map();
  for (const each of item()?.instances || []) {
    const [found, id] = counts.get(each.category) || [0, each.category_id];
    counts.set(each.category, [found + (each.score > least), id]);
  }
  for (const name of state.hidden) if (!counts.has(name)) counts.set(name, [0, state.categories.find((each) => each.name === name)?.id || 1]);
  $("no-classes").hidden = counts.size > 0;
  const focused = document.activeElement?.dataset?.category;
  $("classes").replaceChildren(
    ...[...counts].sort((a, b) => a[1][1] - b[1][1]).map(([name, [found, id]]) => {
      const box = element("input", { type: "checkbox", checked: !state.hidden.has(name) });
      box.dataset.category = name;
      const label = element("label", {}, box, swatch(id), element("span", { className: "name", textContent: name }),
        element("span", { className: "count", textContent: String(found) }));
      return element("li", {}, label);
    }),
  );
  if (focused !== undefined) [...$("classes").querySelectorAll("input")].find((box) => box.dataset.category === focused)?.focus();
}

function showFound() {
  const instances = shown(item());
  $("found-panel").hidden = !item()?.instances || Boolean(item().error);
  $("found-title").replaceChildren("Found", element("output", { textContent: String(instances.length) }));
  $("found").replaceChildren(
    ...instances.map((each) => {
      const button = element("button", { type: "button" }, swatch(each.category_id),
        element("span", { className: "name", textContent: each.category }),
        element("span", { className: "count", textContent: percent(each.score) }));
      for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => activate(each));
      for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => activate(null));
      return element("li", {}, button);
    }),
  );
}

function showTimes() {
  const target = item();
  $("time-panel").hidden = !target?.seconds;
  if (!target?.seconds) return;
  const served = Object.values(target.seconds).reduce((sum, value) => sum + value, 0);
  const seconds = { ...target.seconds, network: Math.max(target.total - served, 0) };
  $("total").textContent = milliseconds(target.total);
  $("time-bar").replaceChildren(
    ...STAGES.map((stage, i) => {
      const part = element("span", { className: `stage-${i}` });
      part.style.flexGrow = String(1000 * (seconds[stage] || 0));
      return part;
    }),
  );
  $("times").replaceChildren(
    ...STAGES.flatMap((stage, i) => [
      element("dt", {}, element("span", { className: `swatch stage-${i}` }),
        element("span", { textContent: stage === "network" ? "encoding and network" : stage })),
      element("dd", { textContent: milliseconds(seconds[stage] || 0) }),
    ]),
  );
}

function showStrip() {
  $("strip").hidden = state.items.length < 2;
  const focused = document.activeElement?.closest("#strip") ? state.current : -1;
  $("strip").replaceChildren(
    ...state.items.map((each, i) => {
      const thumbnail = element("canvas", { width: 172, height: 128 });
      if (each.bitmap) {
        const pen = thumbnail.getContext("2d"), scale = Math.max(172 / each.width, 128 / each.height);
        pen.drawImage(each.bitmap, (172 - each.width * scale) / 2, (128 - each.height * scale) / 2, each.width * scale, each.height * scale);
      }
      const button = element("button", { type: "button", title: each.name, className: each.error ? "failed" : "" }, thumbnail);
      button.setAttribute("aria-label", each.name);
      if (i === state.current) button.setAttribute("aria-current", "true");
      return element("li", {}, button);
    }),
  );
  if (focused >= 0) $("strip").children[focused]?.firstChild.focus();
}

export function showAll() {
  const target = item();
  showValues();
  showPicture();
  showClasses();
  showFound();
  showTimes();
  showStrip();
  showError(target?.error);
  if (target?.error) setStatus("");
  else if (target?.instances && !stale(target)) setStatus(summary(shown(target)));
  const ready = Boolean(target?.bitmap && target.instances && !target.error);
  $("save-overlay").disabled = !ready;
  $("save-json").disabled = !state.items.some((each) => each.instances && !each.error);
}

// Brings one instance out: the one under the pointer or the focus.
export function activate(instance) {
  if (state.active === instance) return;
  state.active = instance;
  const index = shown(item()).indexOf(instance);
  [...$("found").querySelectorAll("button")].forEach((button, i) => button.classList.toggle("active", i === index));
  showPicture();
}
