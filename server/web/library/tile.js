/** One asset in the library: a frame with its badges, a caption, and what can be done at once. */

import { downloadOf, local } from "../api.js";
import { arrange, h, icon, setText } from "../dom.js";
import { ago, badges, isUnsaved, kindWord, roleWord, timecode, title } from "../format.js";
import { saving } from "../saving.js";
import { preview } from "./preview.js";

const ICONS = { audio: "audio", image: "image", other: "file", video: "play" };

/**
 * @param {object} first the asset
 * @param {{open: (asset: object, event: MouseEvent) => void, check: (asset: object, event: MouseEvent) => void,
 *   renew: (asset: object) => void}} heard
 */
export function tile(first, { open, check, renew }) {
  let asset = first;
  const picture = h("img", { alt: "", decoding: "async", draggable: "false" });
  const stand = icon("file");
  const counter = h("span.timecode");
  const marks = h("span.badges");
  const frame = h("span.frame");
  const name = h("span.name");
  const meta = twofold("meta");
  // The name is heard first, and seen below the frame.
  const button = h("button.tile-open", { type: "button", tabindex: -1, onclick: (event) => open(asset, event) }, name, meta, frame);
  const box = h("input.tile-check", { type: "checkbox", tabindex: -1, onclick: (event) => check(asset, event) });
  const element = h("li.tile", { "data-asset": asset.id }, button, box);
  /** Save now and Download, of what is not stored. */
  let rescue = null;
  let failed = null;
  const unwatch = preview(button, frame, () => asset);

  picture.addEventListener("error", () => {
    picture.replaceWith(standIn());
    if (failed) return;
    failed = picture.getAttribute("src");
    renew(asset);
  });

  /** In place of a picture: what it is, or that there is nothing to play. */
  function standIn() {
    const broken = ["failed", "expired"].includes(asset.storage_state);
    attribute(stand.firstChild, "href", `#i-${broken ? "warning" : (ICONS[asset.kind] ?? "file")}`);
    return stand;
  }

  function update(next, { index, total, selected, current }) {
    asset = next;
    const label = title(asset);
    // A poster of what is not stored cannot be had.
    const source = asset.poster_url ?? (asset.kind === "image" && asset.storage_state === "stored" ? asset.url : null);
    const shown = source ? local(source) : null;
    if (shown && picture.getAttribute("src") !== shown) picture.src = shown;
    setText(counter, asset.duration ? timecode(asset.duration) : "");
    tick();
    setText(name, label);
    name.title = label;
    say(meta, `${roleWord(asset)} ${kindWord(asset).toLowerCase()}, ${ago(asset.created_at)}`, `${kindWord(asset)}, ${ago(asset.created_at)}`);
    const video = frame.querySelector("video");
    arrange(frame, [shown && shown !== failed ? picture : standIn(), video, asset.duration && counter, marks.children.length && marks].filter(Boolean));
    attribute(box, "aria-label", `Select ${label}`);
    attribute(element, "aria-setsize", total);
    attribute(element, "aria-posinset", index + 1);
    box.checked = selected;
    element.classList.toggle("selected", selected);
    setRescue(label);
    for (const one of element.querySelectorAll("button, input, a")) one.tabIndex = current ? 0 : -1;
  }

  function setRescue(label) {
    if (!isUnsaved(asset)) {
      rescue?.remove();
      rescue = null;
      return;
    }
    rescue ??= h("div.rescue", {},
      h("button.secondary", { type: "button", onclick: () => saving.save([asset]) }),
      // The provider answers, in a tab of its own: what is here stays.
      h("a.secondary", { target: "_blank", rel: "noopener" }, "Download"));
    const [save, fetched] = rescue.children;
    const busy = saving.isSaving(asset.id);
    setText(save, busy ? "Saving…" : "Save now");
    attribute(save, "aria-disabled", busy);
    attribute(save, "aria-label", `${save.textContent}: ${label}`);
    fetched.href = downloadOf(asset);
    fetched.hidden = asset.storage_state !== "url_only";
    attribute(fetched, "aria-label", `Download ${label} from the provider`);
    if (!rescue.isConnected) element.append(rescue);
  }

  /** The countdowns go on. */
  function tick() {
    const wanted = badges(asset);
    while (marks.children.length > wanted.length) marks.lastChild.remove();
    wanted.forEach(({ words, state, brief = "" }, index) => {
      const mark = marks.children[index] ?? marks.appendChild(twofold("badge"));
      say(mark, words, brief);
      attribute(mark, "data-state", state);
    });
  }

  /** What is out of sight loads no further: it may be deleted by now. */
  function end() {
    unwatch();
    picture.removeAttribute("src");
  }

  return { element, button, update, tick, end };
}

/** Words, and shorter ones for where there is little room: page.css shows either. */
const twofold = (name) => h(`span.${name}`, {}, h("span.full"), h("span.brief", { "aria-hidden": "true" }));

function say({ firstChild: full, lastChild: brief }, words, short) {
  setText(full, words);
  setText(brief, short);
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}
