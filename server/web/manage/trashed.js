/** One asset in the trash: what it looks like, until when it is kept, what can be done. */

import { h, icon, setText } from "../dom.js";
import { ago, bytes, left, timecode, title } from "../format.js";

const ICONS = { audio: "audio", image: "image", other: "file", video: "play" };

/**
 * @param {object} first the asset
 * @param {Record<"restore" | "forGood" | "choose" | "isChosen", Function>} acts each given the asset
 */
export function trashTile(first, { restore, forGood, choose, isChosen }) {
  let asset = first;
  // Links to it are dead: it is shown to its owner, who asks for it.
  const looks = asset.poster_id ?? (asset.kind === "image" && asset.storage_state === "stored" ? asset.id : null);
  const picture = looks && h("img", { src: `/api/v3/assets/${looks}/data?trashed=true`, alt: "", loading: "lazy", decoding: "async" });
  const stand = h("span.stand-in", {}, icon(ICONS[asset.kind] ?? "file"));
  const frame = h("div.frame", {}, picture || stand, asset.duration && h("span.timecode", {}, timecode(asset.duration)));
  const box = h("input", { type: "checkbox", onchange: () => choose(asset, box.checked) });
  const name = h("span.name");
  const meta = h("span.meta");
  const back = h("button.quiet.strong", { type: "button", onclick: () => restore(asset) }, "Restore");
  const away = h("button.quiet", { type: "button", onclick: () => forGood(asset) }, "Delete…");
  const tools = h("div.trash-tools", {}, back, away);
  picture?.addEventListener("error", () => picture.replaceWith(stand));
  const element = h("li.tile.trashed", { "data-asset": asset.id },
    h("label.choosable", {}, frame, h("span.box", {}, box)),
    h("div.caption", {}, name, meta), tools);

  function update(next) {
    asset = next;
    const label = title(asset);
    setText(name, label);
    name.title = label;
    setText(meta, [left(asset.purge_at), asset.size ? bytes(asset.size) : null].filter(Boolean).join(", "));
    meta.title = `Deleted ${ago(asset.deleted_at)}`;
    box.checked = isChosen(asset);
    box.setAttribute("aria-label", `Choose ${label}`);
    back.setAttribute("aria-label", `Restore ${label}`);
    away.setAttribute("aria-label", `Delete ${label} for good`);
  }

  return { element, update };
}
