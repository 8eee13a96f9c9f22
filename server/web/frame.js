/** The film leader: the frame that counts while something is made or sent. */

import { h, setText } from "./dom.js";
import { percent } from "./format.js";

/**
 * A leader with its hand, its number and its bar.
 * @param {string} label what it counts, for those who do not see it
 */
export function leader(label) {
  const number = h("span.leader-number", { "aria-hidden": "true" });
  const element = h(
    "div.frame.leader",
    { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    h("span.leader-rings", { "aria-hidden": "true" }),
    number,
    h("span.leader-bar", { "aria-hidden": "true" }),
  );
  return {
    element,
    /** @param {number} share from 0 to 1 @param {string} words what is being done */
    set(share, words) {
      element.style.setProperty("--share", String(share));
      setText(number, String(Math.floor(share * 100)));
      element.setAttribute("aria-valuenow", String(Math.floor(share * 100)));
      element.setAttribute("aria-valuetext", `${words}, ${percent(share)}`);
    },
  };
}

/** A leader that stands still, at a number: a shot that is not made yet. */
export function countdown({ number, share }) {
  const element = h(
    "span.frame.leader",
    { "aria-hidden": "true" },
    h("span.leader-rings"),
    h("span.leader-number", {}, String(number)),
  );
  element.style.setProperty("--share", String(share));
  return element;
}
