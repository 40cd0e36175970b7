// Asking the server.

import { $, sleep } from "./dom.js";
import { prepare } from "./masks.js";
import { setStatus, showAll, showValues } from "./panels.js";
import { ASKED_SCORE, item, nms, score, state } from "./state.js";

const LONGEST_WAIT = 60; // seconds that a busy server is asked again

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

// Asks what the model is.
export async function connect() {
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

// Has the instances of a picture found, and shows them.
export async function segment(target) {
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
