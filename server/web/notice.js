/**
 * Words that come and go.
 *
 *   toast(words, {bad, action, onAction, seconds})   → a function that takes it away. `bad`:
 *       something went wrong; it stays until it is closed, as does one with an action ("Retry"),
 *       unless it says for how many seconds ("Undo")
 *   missing()                               a module did not come; one word for several
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
 * @param {{bad?: boolean, action?: string, onAction?: () => void, seconds?: number}} options
 * @returns {() => void} takes it away
 */
export function toast(words, { bad = false, action, onAction, seconds = bad || action ? 0 : 5 } = {}) {
  let before = null;
  const close = () => {
    const held = note.contains(document.activeElement);
    note.remove();
    // The focus goes back to where it came from.
    if (held) (before?.isConnected ? before : $("view").querySelector("h1"))?.focus();
  };
  // What somebody is about to press does not go away under the pointer.
  const leave = () => (note.matches(":hover, :focus-within") ? setTimeout(leave, 1000) : close());
  const note = h(
    bad ? "div.toast.bad" : "div.toast",
    { role: bad ? "alert" : "status" },
    h("span", {}, words),
    action && h("button.quiet", { type: "button", onclick: () => (close(), onAction()) }, action),
    h("button.icon-button", { type: "button", "aria-label": "Close this message", onclick: close }, icon("close")),
  );
  note.addEventListener("focusin", ({ relatedTarget: from }) => {
    if (!note.contains(from)) before = from;
  });
  place();
  $("toasts").append(note);
  if (seconds) setTimeout(leave, seconds * 1000);
  return close;
}

let told = () => {};

export function missing() {
  told();
  told = toast("A part of the page could not be loaded.", { bad: true, action: "Reload", onAction: () => location.reload() });
}

/** Everything outside the topmost modal dialog is inert: toasts live inside it. */
function place() {
  const home = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  const toasts = $("toasts");
  if (toasts.parentElement !== home) home.append(toasts);
}

document.addEventListener("close", () => queueMicrotask(place), true);
document.addEventListener("toggle", () => queueMicrotask(place), true);
