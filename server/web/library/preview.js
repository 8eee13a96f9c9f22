/** A moving preview: plays without sound while the pointer or the focus rests on a tile. */

import { local } from "../api.js";
import { h } from "../dom.js";

const AFTER = 350;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const thrifty = () => navigator.connection?.saveData || matchMedia("(prefers-reduced-data: reduce)").matches;

/**
 * @param {HTMLElement} button what is looked at
 * @param {HTMLElement} frame where it plays
 * @param {() => object} asset which one it is by now
 * @returns {() => void} ends it
 */
export function preview(button, frame, asset) {
  let timer = 0;
  let video = null;

  function start() {
    const { kind, storage_state: state, url } = asset();
    // What the provider still has is not fetched from there for a look.
    if (still.matches || thrifty() || kind !== "video" || state !== "stored" || video) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      video = h("video.preview", { src: local(url), loop: true, playsinline: true, tabindex: -1, "aria-hidden": "true" });
      video.muted = true;
      video.addEventListener("playing", () => video?.classList.add("on"), { once: true });
      frame.firstElementChild.after(video);
      // A preview that may not play is no preview, and nothing else.
      video.play().catch(() => {});
    }, AFTER);
  }

  function stop() {
    clearTimeout(timer);
    if (!video) return;
    video.removeAttribute("src");
    video.load();
    video.remove();
    video = null;
  }

  button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && start());
  button.addEventListener("pointerleave", stop);
  button.addEventListener("focus", () => button.matches(":focus-visible") && start());
  button.addEventListener("blur", stop);
  button.addEventListener("click", stop);
  return stop;
}
