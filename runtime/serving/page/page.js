// The page of `maskrt serve`: pictures go to POST /predict, masks come back as COCO run lengths and are drawn here.
"use strict";

const $ = (id) => document.getElementById(id);

// The colours of maskrt's overlays, one for each class, around and around.
const PALETTE = [
  [255, 82, 82], [38, 166, 255], [255, 202, 40], [0, 200, 150], [186, 104, 255], [255, 138, 46],
  [77, 221, 255], [236, 64, 150], [156, 214, 56], [92, 107, 255], [255, 167, 167], [0, 150, 136],
  [214, 170, 255], [200, 140, 60], [120, 220, 160], [255, 110, 220],
];
const STAGES = ["decode", "preprocess", "queue", "infer", "postprocess", "network"];
// The score that is asked for: everything above the slider is here already, so that the slider answers at once.
const ASKED_SCORE = 0.05;
const PAUSE = 150; // milliseconds that the overlap's slider has to rest before the server is asked again
const LONGEST_WAIT = 60; // seconds that a busy server is asked again

const state = {
  items: [], // {name, blob, bitmap, width, height, instances, seconds, total, asked, error}
  current: -1,
  hidden: new Set(), // classes that are not shown
  active: null, // the instance under the pointer or the focus
  model: null,
  categories: [], // {id, name}
  key: sessionStorage.getItem("maskrt-key") || "",
  camera: null,
};

const color = (category, alpha = 1) => `rgb(${PALETTE[(category - 1) % PALETTE.length].join(" ")} / ${alpha})`;
const item = () => state.items[state.current];
const score = () => Number($("score").value);
const nms = () => Number($("nms").value);
const percent = (value) => `${Math.round(100 * value)} %`;
const milliseconds = (seconds) => `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function swatch(category) {
  const made = element("span", { className: "swatch" });
  made.style.backgroundColor = color(category);
  return made;
}

// Asking the server.

async function ask(path, options = {}) {
  const headers = state.key ? { Authorization: `Bearer ${state.key}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response.json();
  let sentence = `The server answered ${response.status}.`;
  try {
    sentence = (await response.json()).error || sentence;
  } catch {
    // it has no sentence
  }
  $("key-form").hidden = response.status !== 401;
  if (response.status === 401) sentence = state.key ? "That is not the key of this server." : "This server asks for a key.";
  throw Object.assign(new Error(sentence), {
    status: response.status,
    again: response.status === 503 ? Number(response.headers.get("Retry-After")) || 1 : 0,
  });
}

// A server that is busy or still loading says when to come back.
async function askPatiently(path, options) {
  const end = performance.now() + 1000 * LONGEST_WAIT;
  for (;;) {
    try {
      return await ask(path, options);
    } catch (error) {
      if (!error.again || performance.now() + 1000 * error.again > end) throw error;
      setStatus(`${error.message.replace(/ Try again in .*/, "")} Trying again in ${error.again} s…`);
      await sleep(1000 * error.again);
      if (options?.signal?.aborted) throw new DOMException("given up", "AbortError");
    }
  }
}

async function connect() {
  const [{ name }] = await askPatiently("v2/repository/index", { method: "POST" });
  const { parameters } = await askPatiently(`v2/models/${encodeURIComponent(name)}/config`);
  const read = (key) => JSON.parse(parameters[key].string_value);
  const names = read("class_names");
  state.model = name;
  state.categories = names.map((each, id) => ({ id, name: each })).slice(1);
  $("model").textContent = name;
  document.title = `${name} · maskrt`;
  const shown = names.slice(1, 9).join(", ");
  $("about").textContent = `finds ${shown}${names.length > 9 ? ` and ${names.length - 9} more classes` : ""}`;
  $("nms").value = read("nms_threshold");
  $("score").value = Math.max(0.5, read("score_threshold"));
  showValues();
  $("curl").textContent = `curl --data-binary @picture.jpg "${location.origin}/predict?score_threshold=0.5"`;
}

async function segment(target) {
  if (target.error && !target.bitmap) return;
  target.pending?.abort(); // what is on its way for this picture
  const abort = (target.pending = new AbortController());
  const asked = { score: score() < ASKED_SCORE ? 0 : ASKED_SCORE, nms: nms() };
  if (target === item()) setStatus("Looking…");
  try {
    const begun = performance.now();
    const query = `predict?score_threshold=${asked.score}&nms_threshold=${asked.nms}`;
    const headers = { "Content-Type": target.blob.type.startsWith("image/") ? target.blob.type : "application/octet-stream" };
    const found = await askPatiently(query, { method: "POST", body: target.blob, headers, signal: abort.signal });
    target.total = (performance.now() - begun) / 1000;
    target.seconds = found.seconds;
    target.instances = found.instances.map((instance) => prepare(instance, target));
    target.asked = asked;
    target.error = null;
  } catch (error) {
    if (error.name === "AbortError") return;
    target.error = error.message;
    target.instances = [];
    target.asked = asked;
  }
  showAll();
}

function stale(target) {
  return !target.asked || target.asked.nms !== nms() || (score() < ASKED_SCORE && target.asked.score > 0);
}

// Masks.

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

function covers(ends, position) {
  let low = 0, high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] <= position) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}

function prepare(instance, target) {
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

function shown(target) {
  const least = score();
  return (target?.instances || []).filter((each) => each.score > least && !state.hidden.has(each.category));
}

// Draws a picture with what is shown of it onto a canvas, `scale` pixels of it to one of the picture.
function paint(canvas, target, scale, density = 1) {
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

// What is on the page.

function setStatus(text) {
  $("status").textContent = text;
}

function showError(sentence) {
  $("error").hidden = !sentence;
  $("error").textContent = sentence || "";
}

function showValues() {
  $("score-value").textContent = percent(score());
  $("nms-value").textContent = percent(nms());
}

function showPicture() {
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
      box.addEventListener("change", () => {
        if (box.checked) state.hidden.delete(name);
        else state.hidden.add(name);
        showAll();
      });
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
      button.addEventListener("click", () => select(i));
      return element("li", {}, button);
    }),
  );
  if (focused >= 0) $("strip").children[focused]?.firstChild.focus();
}

function showAll() {
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

function activate(instance) {
  if (state.active === instance) return;
  state.active = instance;
  const index = shown(item()).indexOf(instance);
  [...$("found").querySelectorAll("button")].forEach((button, i) => button.classList.toggle("active", i === index));
  showPicture();
}

// What is done to it.

async function open(blob, name) {
  const made = { name, blob, bitmap: null, width: 0, height: 0, instances: null, seconds: null, total: 0, asked: null, error: null };
  try {
    made.bitmap = await createImageBitmap(blob);
    made.width = made.bitmap.width;
    made.height = made.bitmap.height;
  } catch {
    made.error = `${name} is not a picture that this browser can show.`;
  }
  return made;
}

async function add(files) {
  stopCamera();
  const first = state.items.length;
  for (const file of files) state.items.push(await open(file, file.name || "picture"));
  if (state.items.length === first) return;
  state.current = first;
  state.active = null;
  showAll();
  for (const target of state.items.slice(first)) {
    if (stale(target)) await segment(target);
  }
}

function select(index) {
  state.current = index;
  state.active = null;
  showAll();
  if (stale(item())) segment(item());
}

let resting = 0;
function thresholdsMoved() {
  showAll();
  clearTimeout(resting);
  const target = item();
  if (target?.bitmap && stale(target)) resting = setTimeout(() => segment(item()), PAUSE);
}

async function startCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    showError("A browser gives its camera to pages of this machine and of https alone.");
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const none = error.name === "NotFoundError";
    showError(none ? "This machine has no camera." : "The browser was not allowed to use the camera.");
    return;
  }
  state.camera = stream;
  $("camera").setAttribute("aria-pressed", "true");
  $("camera").textContent = "Stop camera";
  const video = $("video");
  video.srcObject = stream;
  await video.play();
  const place = state.items.length;
  const canvas = document.createElement("canvas");
  while (state.camera === stream) {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    if (!blob) continue;
    const frame = await open(blob, "camera.jpg");
    await segment(frame);
    if (state.camera !== stream && state.items[place]) break;
    const before = state.items[place];
    state.items[place] = frame;
    state.current = place;
    state.active = null;
    showAll();
    before?.bitmap?.close();
    if (frame.error) stopCamera();
    await sleep(0);
  }
}

function stopCamera() {
  state.camera?.getTracks().forEach((track) => track.stop());
  state.camera = null;
  $("video").srcObject = null;
  $("camera").setAttribute("aria-pressed", "false");
  $("camera").textContent = "Camera";
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function saveJson() {
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

function saveOverlay() {
  const target = item(), canvas = document.createElement("canvas");
  state.active = null;
  paint(canvas, target, 1, Math.max(1, Math.sqrt(target.width * target.height) / 800));
  canvas.toBlob((blob) => save(blob, `${target.name.replace(/\.[^.]*$/, "")}_instances.png`), "image/png");
}

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

function hover(event) {
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

function unhover() {
  $("tip").hidden = true;
  activate(null);
}

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  add([...$("files").files]);
  $("files").value = "";
});
$("camera").addEventListener("click", () => (state.camera ? stopCamera() : startCamera()));
$("score").addEventListener("input", thresholdsMoved);
$("nms").addEventListener("input", thresholdsMoved);
$("save-json").addEventListener("click", saveJson);
$("save-overlay").addEventListener("click", saveOverlay);
$("view").addEventListener("pointermove", hover);
$("view").addEventListener("pointerdown", hover);
$("view").addEventListener("pointerleave", unhover);
$("view").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const instances = shown(item());
  if (!step || !instances.length) return;
  event.preventDefault();
  const at = instances.indexOf(state.active);
  activate(instances[at < 0 ? (step > 0 ? 0 : instances.length - 1) : (at + step + instances.length) % instances.length]);
});
$("view").addEventListener("blur", unhover);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value.trim();
  sessionStorage.setItem("maskrt-key", state.key);
  $("key-form").hidden = true;
  begin();
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  add([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files || [])];
  if (files.length) add(files);
});
window.addEventListener("resize", showPicture);

async function begin() {
  try {
    await connect();
    if (!item()) setStatus("");
    showError(item()?.error); // a picture may have been chosen in the meantime
    if (item() && stale(item())) segment(item());
  } catch (error) {
    $("about").textContent = "not connected";
    setStatus("");
    showError(error.message);
  }
}

showValues();
begin();
