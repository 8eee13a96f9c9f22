/** A place for a picture in a clip: chosen, dropped, pasted, or from the library. */

import { dropTarget } from "../add/add.js";
import { arrange, h, icon, setText } from "../dom.js";
import { board } from "./board.js";
import { Picture } from "./picture.js";
import { pickFromLibrary } from "./picker.js";

/**
 * @param {import("./board.js").Clip} clip
 * @param {"image" | "last"} name
 * @param {{words: string, number: () => number, place: () => object, signal: AbortSignal}} options
 */
export function slot(clip, name, { words, number, place, signal }) {
  const id = `${name}-${clip.key}`;
  const hint = h("span.slot-hint");
  const pick = h("button.slot-pick", { id, type: "button", "aria-describedby": `${id}-error`, onclick: () => file.click() },
    icon("image"), h("span.slot-words", {}, words), hint);
  const library = h("button.quiet", { type: "button", onclick: fromLibrary }, "From the library");
  const file = h("input.visually-hidden", { type: "file", accept: "image/*,video/*", tabindex: -1, "aria-hidden": "true", onchange: chosen });
  const image = h("img", { alt: "" });
  const label = h("span.slot-name");
  const state = h("span.slot-state");
  const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of the ${words.toLowerCase()}` });
  const drop = h("button.icon-button", { type: "button", "aria-label": "Remove the image", onclick: remove }, icon("close"));
  const picked = h("div.slot-picked", {}, h("span.frame", {}, image), drop, h("div.slot-caption", {}, label, state, bar));
  const error = h("p.field-error", { id: `${id}-error` });
  const element = h("div.slot", { role: "group", "aria-label": words, "data-slot": name });
  dropTarget(element, ([one]) => useFile(one), { signal, paste: true });
  follow();

  /** @param {boolean} needed by the model */
  function update(needed) {
    setText(hint, needed ? "Needed by this model" : "Choose, drop or paste");
    show();
  }

  function show() {
    const picture = clip[name];
    if (picture?.failed) {
      board.setPicture(clip, name, null);
      say(picture.failed);
    }
    const shown = clip[name];
    if (shown) {
      if (shown.source && image.getAttribute("src") !== shown.source) image.src = shown.source;
      setText(label, shown.name);
      setText(state, shown.words);
      state.hidden = shown.words === "From the library";
      bar.hidden = !shown.share || shown.share === 1;
      bar.value = shown.share;
    } else {
      image.removeAttribute("src");
    }
    arrange(element, shown ? [picked, error] : [pick, library, file, error]);
  }

  function follow() {
    clip[name]?.addEventListener("change", show, { signal });
    show();
  }

  function set(picture) {
    say("");
    board.setPicture(clip, name, picture);
    follow();
  }

  function useFile(one) {
    if (/^(image|video)\//.test(one.type)) set(Picture.ofFile(one, place()));
    else say("This is not a picture that can be read. Use a PNG, JPEG or WebP.");
  }

  function chosen() {
    const [one] = file.files;
    if (one) useFile(one);
    file.value = "";
    drop.focus();
  }

  function remove() {
    set(null);
    pick.focus();
  }

  async function fromLibrary() {
    const asset = await pickFromLibrary(`${words} of clip ${number()}`);
    if (!asset) return;
    set(Picture.ofAsset(asset, place()));
    drop.focus();
  }

  function say(text) {
    setText(error, text);
    pick.setAttribute("aria-invalid", String(Boolean(text)));
  }

  return { element, update, say, useFile, use: (asset) => set(Picture.ofAsset(asset, place())), focus: () => (clip[name] ? drop : pick).focus() };
}
