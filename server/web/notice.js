/**
 * Words that come and go.
 *
 *   toast(words, {bad, action, onAction})   → a function that takes it away. `bad`: something went
 *       wrong; it stays until it is closed, as does one with an action ("Retry", "Undo")
 *   announce(words)                         to screen readers only
 */

import { $, h, icon } from "./dom.js";

/** Says something to screen readers, without showing it. */
export function announce(words) {
  $("announcer").textContent = words;
}

/**
 * Shows a word for some seconds; an error, or one with something to do, stays until it is closed.
 * @param {string} words
 * @param {{bad?: boolean, action?: string, onAction?: () => void}} options
 * @returns {() => void} takes it away
 */
export function toast(words, { bad = false, action, onAction } = {}) {
  const close = () => note.remove();
  const note = h(
    bad ? "div.toast.bad" : "div.toast",
    { role: bad ? "alert" : "status" },
    h("span", {}, words),
    action && h("button.quiet", { type: "button", onclick: () => (close(), onAction()) }, action),
    h("button.icon-button", { type: "button", "aria-label": "Close this message", onclick: close }, icon("close")),
  );
  place();
  $("toasts").append(note);
  if (!bad && !action) setTimeout(close, 5000);
  return close;
}

/** Everything outside the topmost modal dialog is inert: toasts live inside it. */
function place() {
  const home = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  const toasts = $("toasts");
  if (toasts.parentElement !== home) home.append(toasts);
}

document.addEventListener("close", () => queueMicrotask(place), true);
document.addEventListener("toggle", () => queueMicrotask(place), true);
