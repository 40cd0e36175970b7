// Elements of the page, and values as text.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const percent = (value) => `${Math.round(100 * value)} %`;
export const milliseconds = (seconds) => `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
