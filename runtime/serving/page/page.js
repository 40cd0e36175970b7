// The page of `maskrt serve`: pictures go to POST /predict, masks come back as COCO run lengths and are drawn here.
// This file is what people do to it.

import { startCamera, stopCamera } from "./camera.js";
import { $ } from "./dom.js";
import { saveJson, saveOverlay } from "./downloads.js";
import { setStatus, showAll, showError, showPicture, showValues } from "./panels.js";
import { open } from "./pictures.js";
import { hover, step, unhover } from "./pointer.js";
import { connect, segment } from "./server.js";
import { item, stale, state } from "./state.js";

const PAUSE = 150; // milliseconds that the overlap's slider has to rest before the server is asked again

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
$("view").addEventListener("keydown", step);
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

$("classes").addEventListener("change", ({ target }) => {
  if (target.checked) state.hidden.delete(target.dataset.category);
  else state.hidden.add(target.dataset.category);
  showAll();
});
$("strip").addEventListener("click", ({ target }) => {
  const place = [...$("strip").children].indexOf(target.closest("li"));
  if (place >= 0) select(place);
});

showValues();
begin();
