/** One asset in the library: a frame, a caption, and a moving preview when looked at. */

import { downloadOf, local } from "../api.js";
import { arrange, h, icon, setText } from "../dom.js";
import { ago, isUnsaved, kindWord, roleWord, stateBadge, timecode, title } from "../format.js";
import { saving } from "../saving.js";

const ICONS = { audio: "audio", image: "image", other: "file", video: "play" };
const PREVIEW_AFTER = 350;
const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {object} first the asset
 * @param {(asset: object) => void} onOpen
 */
export function tile(first, onOpen) {
  let asset = first;
  const picture = h("img", { alt: "", loading: "lazy", decoding: "async" });
  const stand = h("span.stand-in");
  const counter = h("span.timecode");
  const badge = h("span.badge");
  const frame = h("span.frame");
  const name = h("span.name");
  const meta = h("span.meta");
  const kind = h("span.visually-hidden");
  // The name is heard first, and seen below the frame.
  const button = h("button.tile-open", { type: "button", onclick: () => onOpen(asset) },
    h("span.caption", {}, name, kind, meta), frame);
  const save = h("button.quiet.strong", { type: "button", onclick: () => saving.save([asset]) });
  const fetched = h("a.quiet", { target: "_blank", rel: "noopener" }, "Download");
  const rescue = h("div.rescue", {}, save);
  const element = h("li.tile", { "data-asset": asset.id }, button);
  preview(button, frame, () => asset);

  picture.addEventListener("error", () => {
    picture.remove();
    frame.prepend(stand);
  });

  function update(next) {
    asset = next;
    const source = asset.poster_url ?? (asset.kind === "image" ? asset.url : null);
    const shown = source && asset.storage_state !== "pending" ? local(source) : null;
    if (shown && picture.getAttribute("src") !== shown) picture.src = shown;
    const label = title(asset);
    const state = stateBadge(asset);
    stand.replaceChildren(icon(ICONS[asset.kind] ?? "file"));
    setText(counter, asset.duration ? timecode(asset.duration) : "");
    setText(badge, state ?? "");
    badge.dataset.state = asset.storage_state;
    setText(name, label);
    setText(meta, [roleWord(asset), ago(asset.created_at)].join(", "));
    name.title = label;
    const video = frame.querySelector("video");
    arrange(frame, [shown ? picture : stand, video, asset.duration && counter, state && badge].filter(Boolean));
    setText(kind, kindWord(asset));
    arrange(element, isUnsaved(asset) ? [button, rescue] : [button]);
    if (isUnsaved(asset)) {
      const busy = saving.isSaving(asset.id);
      setText(save, busy ? "Saving…" : "Save now");
      save.setAttribute("aria-disabled", String(busy));
      save.setAttribute("aria-label", `${save.textContent}: ${label}`);
      // The provider answers, in a tab of its own: what is here stays.
      fetched.href = downloadOf(asset);
      fetched.setAttribute("aria-label", `Download ${label} from the provider`);
      arrange(rescue, asset.storage_state === "url_only" ? [save, fetched] : [save]);
    }
  }

  /** The countdown goes on. */
  const tick = () => setText(badge, stateBadge(asset) ?? "");

  update(first);
  return { element, button, update, tick };
}

/** Plays without sound while the pointer or the focus rests on it. */
function preview(button, frame, asset) {
  let timer = 0;
  let video = null;
  const start = () => {
    const { kind, storage_state: state, url } = asset();
    if (still.matches || navigator.connection?.saveData || kind !== "video" || state !== "stored" || video) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      video = h("video.preview", { src: local(url), loop: true, playsinline: true, tabindex: -1, "aria-hidden": "true" });
      video.muted = true;
      video.addEventListener("playing", () => video?.classList.add("on"), { once: true });
      frame.querySelector("img, .stand-in")?.after(video);
      // A preview that may not play is no preview, and nothing else.
      video.play().catch(() => {});
    }, PREVIEW_AFTER);
  };
  const stop = () => {
    clearTimeout(timer);
    if (!video) return;
    video.removeAttribute("src");
    video.load();
    video.remove();
    video = null;
  };
  button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && start());
  button.addEventListener("pointerleave", stop);
  button.addEventListener("focus", () => button.matches(":focus-visible") && start());
  button.addEventListener("blur", stop);
  button.addEventListener("click", stop);
}
