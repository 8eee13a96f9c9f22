/** Picking a picture from the library: images, and videos, which give their last frame. */

import { get, local } from "../api.js";
import { openDialog } from "../dialog.js";
import { debounce, h, icon, nearing, setText } from "../dom.js";
import { pictureOf, timecode, title } from "../format.js";

const PAGE = 24;
const KINDS = [["image", "Images"], ["video", "Last frames of videos"]];

/**
 * @param {string} what it is for: "First frame of clip 2"
 * @returns {Promise<object | null>} an asset, or nothing
 */
export async function pickFromLibrary(what) {
  let chosen = null;
  let cursor = null;
  let turn = 0;
  let loading = false;
  const search = h("input", { type: "search", maxlength: 200, placeholder: "Search", "aria-label": "Search the library", autocomplete: "off", oninput: debounce(200, begin) });
  const kinds = h("fieldset.segments", {},
    h("legend.visually-hidden", {}, "Kind"),
    ...KINDS.map(([value, words], index) =>
      h("label.segment", {}, h("input", { type: "radio", name: "picker-kind", value, checked: index === 0, onchange: begin }), words)));
  const grid = h("ul.picker-grid");
  const state = h("p.picker-state", { role: "status" });
  const more = h("button.secondary", { type: "button", hidden: true, onclick: load }, "Load more");
  const body = h("div.picker-body", {}, state, grid, h("p.more", {}, more));
  const dialog = openDialog({ title: what, wide: true, content: [h("div.picker-head", {}, search, kinds), body] });
  const watch = nearing(more, load, { root: body, rootMargin: "300px" });
  begin();
  await dialog.closed;
  watch.disconnect();
  return chosen;

  function begin() {
    turn += 1;
    cursor = null;
    loading = false;
    more.hidden = true;
    grid.replaceChildren();
    load();
  }

  async function load() {
    if (loading) return;
    loading = true;
    const mine = turn;
    const kind = kinds.querySelector(":checked").value;
    try {
      const page = await get("/assets", { kind, q: search.value.trim(), storage_state: "stored", cursor, limit: PAGE });
      if (mine !== turn) return;
      cursor = page.next_cursor;
      more.hidden = !cursor;
      grid.append(...page.items.map(choice));
      const none = search.value.trim() ? "Nothing matches." : kind === "image" ? "There are no images in the library yet." : "There are no videos in the library yet.";
      setText(state, grid.children.length ? "" : none);
    } catch (error) {
      if (mine === turn) setText(state, error.message);
    }
    if (mine === turn) loading = false;
    if (mine === turn && !state.textContent) watch.again();
  }

  function choice(asset) {
    const source = pictureOf(asset);
    return h("li", {},
      h("button.choice-frame", { type: "button", title: title(asset), onclick: () => ((chosen = asset), dialog.close()) },
        h("span.frame", {},
          source ? h("img", { src: local(source), alt: "", loading: "lazy", decoding: "async" }) : icon("play"),
          asset.duration && asset.kind === "video" && h("span.timecode", {}, timecode(asset.duration))),
        h("span.choice-name", {}, title(asset))));
  }
}
