// The camera: its pictures one after the other, as fast as the server answers.

import { $, sleep } from "./dom.js";
import { showAll, showError } from "./panels.js";
import { open } from "./pictures.js";
import { segment } from "./server.js";
import { state } from "./state.js";

export async function startCamera() {
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

export function stopCamera() {
  state.camera?.getTracks().forEach((track) => track.stop());
  state.camera = null;
  $("video").srcObject = null;
  $("camera").setAttribute("aria-pressed", "false");
  $("camera").textContent = "Camera";
}
