/**
 * What is done to one asset or to several, wherever they are shown.
 *
 *   trash(assets)      → Promise<boolean>: they are in the trash, with a word that takes it back;
 *                      in the library they are out of sight at once
 *   move(assets)       asks for a project and a scene → Promise<boolean>: they are there
 *   download(assets)   one after the other, as browsers allow it
 */

import { downloadOf, post } from "../api.js";
import { openDialog } from "../dialog.js";
import { $, h } from "../dom.js";
import { items, title } from "../format.js";
import { toast } from "../notice.js";
import { placeFields } from "./place.js";
import { list } from "./list.js";
import { selection } from "./selection.js";

// The API takes so many at once.
const AT_ONCE = 200;
// Browsers drop downloads that begin in the same moment.
const BETWEEN = 600;
const UNDO = 20;

const called = (assets) => (assets.length === 1 ? title(assets[0]) : items(assets.length));
const are = (assets) => (assets.length === 1 ? "is" : "are");

export async function trash(assets) {
  const ids = assets.map((one) => one.id);
  const chosen = ids.filter((id) => selection.has(id));
  // The player shows its own until it is left.
  const hidden = $("library") && list.hide(...ids);
  try {
    await inPieces(ids, async (piece) => {
      await post("/assets/delete", { ids: piece });
      hidden?.gone(piece);
    });
  } catch (error) {
    // Some may have been gone already: the list has to be looked at again.
    if (hidden) hidden.back();
    else list.refresh();
    if ($("library")) selection.add(chosen);
    toast(error.message, { bad: true });
    return false;
  }
  if (!hidden) list.drop(...ids);
  toast(`${called(assets)} ${are(assets)} in the trash.`, { action: "Undo", onAction: () => restore(assets), seconds: UNDO });
  return true;
}

async function restore(assets) {
  try {
    await inPieces(assets.map((one) => one.id), (ids) => post("/assets/restore", { ids }));
    await list.refresh();
    toast(`${called(assets)} ${are(assets)} back.`);
  } catch (error) {
    toast(error.message, { bad: true });
  }
}

async function inPieces(ids, send) {
  for (let from = 0; from < ids.length; from += AT_ONCE) await send(ids.slice(from, from + AT_ONCE));
}

export function move(assets) {
  const [first] = assets;
  const alike = (name) => assets.every((one) => one[name] === first[name]);
  const fields = placeFields({
    project: alike("project_id") ? first.project_id : null,
    scene: alike("scene_id") ? first.scene_id : null,
  });
  const told = h("p.form-error", { role: "alert" });
  const send = async (event) => {
    event.preventDefault();
    try {
      const place = await fields.chosen();
      await inPieces(assets.map((one) => one.id), (ids) => post("/assets/move", { ids, project_id: place.project_id, scene_id: place.scene_id }));
      dialog.close("moved");
      await (list.filtering ? list.reload() : list.renew(...assets.slice(0, AT_ONCE).map((one) => one.id)));
      toast(`${called(assets)} ${are(assets)} in ${place.name} now.`);
    } catch (error) {
      told.textContent = error.message;
    }
  };
  const dialog = openDialog({
    title: `Move ${called(assets)}`,
    content: [
      h("form", { novalidate: true, onsubmit: send }, fields.element, told,
        h("div.buttons", {},
          h("button.secondary", { type: "button", onclick: () => dialog.close() }, "Cancel"),
          h("button.primary", { type: "submit" }, "Move"))),
    ],
  });
  return dialog.closed.then((value) => value === "moved");
}

export async function download(assets) {
  const there = assets.filter((one) => one.storage_state === "stored");
  const missing = assets.length - there.length;
  if (missing) toast(`${items(missing)} of these ${missing === 1 ? "is" : "are"} not stored here, and cannot be downloaded together. Save them first.`, { bad: true });
  if (there.length > 1) toast(`Downloading ${items(there.length)}. The browser may ask whether it may save several files.`);
  for (const [index, asset] of there.entries()) {
    if (index) await new Promise((resolve) => setTimeout(resolve, BETWEEN));
    const link = h("a", { href: downloadOf(asset), download: asset.filename, hidden: true });
    document.body.append(link);
    link.click();
    link.remove();
  }
}
