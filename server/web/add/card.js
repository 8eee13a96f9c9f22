/** The card of a file on its way in. */

import { arrange, h, icon, setText } from "../dom.js";
import { bytes, timecode } from "../format.js";
import { leader } from "../frame.js";

const WORDS = {
  waiting: "Waiting",
  uploading: "Uploading",
  storing: "Storing",
  paused: "Paused",
  offline: "Waiting for the connection",
  failed: "Not uploaded",
  lost: "Interrupted",
};

/**
 * @param {import("./sending.js").Sending} one
 * @param {{pause: () => void, resume: () => void, cancel: () => void, choose: (file: File) => void}} acts
 */
export function uploadCard(one, acts) {
  const frame = leader(`Upload of ${one.name}`);
  const broken = h("div.frame.broken", {}, icon("close"));
  const status = h("span.status");
  const rate = h("p.meta.rate");
  const reason = h("p.reason");
  const file = h("input.visually-hidden", { type: "file", tabindex: -1, "aria-hidden": "true", onchange: () => file.files[0] && acts.choose(file.files[0]) });
  const button = (words, act, more = "") => h(`button.quiet${more}`, { type: "button", onclick: act, "aria-label": `${words}: ${one.name}` }, words);
  const buttons = {
    pause: button("Pause", acts.pause),
    resume: button("Resume", acts.resume, ".strong"),
    retry: button("Retry", acts.resume, ".strong"),
    choose: button("Choose the file", () => file.click(), ".strong"),
    cancel: button("Cancel", acts.cancel),
  };
  const row = h("div.card-buttons");
  const body = h("div.card-body", {},
    h("p.meta", {}, status, h("span.counter", {}, bytes(one.size))),
    h("p.name", { title: one.name, tabindex: -1 }, one.name), rate, reason, row);
  const element = h("li.tile.card", { "data-upload": one.name }, frame.element, body);

  function update() {
    const { state, sent, size, speed } = one;
    const words = state === "offline" && one.words ? "Trying again" : (WORDS[state] ?? state);
    const held = row.contains(document.activeElement);
    element.dataset.status = state === "lost" ? "failed" : state;
    setText(status, words);
    // The last bytes are out; the answer comes when they are on the disk.
    frame.set(Math.min(sent / Math.max(1, size), 0.99), words);
    const left = speed ? `, ${timecode((size - sent) / speed)} left` : "";
    setText(rate, state === "uploading" && sent ? `${bytes(sent)}${speed ? ` at ${bytes(speed)}/s` : ""}${left}` : sent && state !== "failed" ? `${bytes(sent)} sent` : "");
    rate.hidden = !rate.textContent;
    setText(reason, state === "lost" ? "The page was closed. Choose the file again, and it goes on from where it was." : one.words);
    reason.hidden = !reason.textContent;
    arrange(element, [state === "failed" ? broken : frame.element, body, file]);
    const { pause, resume, retry, choose, cancel } = buttons;
    arrange(row, { uploading: [pause, cancel], offline: [pause, cancel], paused: [resume, cancel], failed: [retry, cancel], lost: [choose, cancel] }[state] ?? [cancel]);
    if (held && !row.contains(document.activeElement)) row.firstElementChild.focus();
  }

  update();
  return { element, update, tell: (words) => ((reason.hidden = false), setText(reason, words)) };
}
