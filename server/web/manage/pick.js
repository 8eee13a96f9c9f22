/**
 * Choosing one asset of the library.
 *
 *   pickAsset({title, kinds, projectId})  → Promise of the asset, null if none was chosen
 *       kinds: of which kinds, ["video", "image"]; projectId: what is in there is shown first
 */

import { get, local } from "../api.js";
import { openDialog } from "../dialog.js";
import { debounce, h, icon, setText } from "../dom.js";
import { pictureOf, timecode, title as titleOf } from "../format.js";

const PAGE = 24;
const WORDS = { video: "videos", image: "images", audio: "sounds" };

export async function pickAsset({ title, kinds, projectId }) {
  let chosen = null;
  let turn = 0;
  const cursors = new Map();
  const search = h("input", { type: "search", maxlength: 200, placeholder: "Search", "aria-label": "Search names and prompts", autocomplete: "off" });
  const where = h("select", { "aria-label": "Where" },
    h("option", { value: projectId }, "This project"), h("option", { value: "" }, "Everywhere"));
  const grid = h("ul.choosing", { "aria-label": "What can be chosen" });
  const said = h("p.hint", { role: "status" });
  const more = h("button.secondary", { type: "button", hidden: true, onclick: () => load(true) }, "Load more");
  const dialog = openDialog({
    title,
    wide: true,
    content: [h("div.inline-fields", {}, search, where), said, grid, h("div.buttons", {}, more)],
  });
  search.addEventListener("input", debounce(250, () => load()));
  where.addEventListener("change", () => load());
  await load();
  // Nothing of the project's own will do: all there is.
  if (!grid.children.length && where.value) {
    where.value = "";
    await load();
  }
  await dialog.closed;
  return chosen;

  async function load(further = false) {
    const mine = ++turn;
    const wanted = kinds.filter((kind) => !further || cursors.get(kind));
    try {
      const pages = await Promise.all(wanted.map((kind) =>
        get("/assets", { kind, storage_state: "stored", q: search.value.trim(), project_id: where.value, limit: PAGE, cursor: further ? cursors.get(kind) : null })));
      if (mine !== turn) return;
      wanted.forEach((kind, index) => cursors.set(kind, pages[index].next_cursor));
      const found = pages.flatMap((page) => page.items).sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
      const tiles = found.map(tile);
      if (further) {
        grid.append(...tiles);
        tiles[0]?.querySelector("button").focus();
      } else grid.replaceChildren(...tiles);
      more.hidden = !kinds.some((kind) => cursors.get(kind));
      setText(said, grid.children.length ? "" : `There are no ${kinds.map((kind) => WORDS[kind]).join(" or ")} ${search.value ? "of that name" : "here"}.`);
    } catch (error) {
      setText(said, error.message);
    }
  }

  function tile(asset) {
    const source = pictureOf(asset);
    const choose = () => {
      chosen = asset;
      dialog.close("chosen");
    };
    return h("li.tile", {},
      h("button.tile-open", { type: "button", onclick: choose },
        h("span.caption", {}, h("span.name", {}, titleOf(asset))),
        h("span.frame", {},
          source ? h("img", { src: local(source), alt: "", loading: "lazy", decoding: "async" }) : h("span.stand-in", {}, icon(asset.kind === "audio" ? "audio" : "play")),
          asset.duration && h("span.timecode", {}, timecode(asset.duration)))));
  }
}
