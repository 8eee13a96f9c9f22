/** The bar of what is selected: how much, and what can be done to all of it. Escape ends it. */

import { $, h, icon, setText } from "../dom.js";
import { bytes, items } from "../format.js";
import { download, move, trash } from "./bulk.js";
import { list } from "./list.js";
import { selection } from "./selection.js";

/** @param {AbortSignal} signal @returns {HTMLElement} */
export function bar(signal) {
  const [words, weight] = [h("span"), h("span.bar-size")];
  const act = (name, label, onclick, more = "") =>
    h(`button.bar-button${more}`, { type: "button", onclick }, icon(name), h("span", {}, label));
  const all = h("button.quiet", { type: "button", onclick: () => selection.all() }, "Select all");
  const acts = h("div.bar-acts", {},
    act("folder", "Move", async () => (await move(selection.assets)) && selection.clear()),
    act("download", "Download", () => download(selection.assets)),
    // They are out of sight at once, and so is the bar.
    act("trash", "Delete", () => (trash(selection.assets), selection.clear()), ".grave"));
  const element = h("div.bar", { role: "region", "aria-label": "Selected", tabindex: -1, hidden: true },
    h("button.icon-button", { type: "button", "aria-label": "Clear the selection", onclick: () => selection.clear() }, icon("close")),
    h("p.bar-words", {}, words, weight), all, acts);

  function show() {
    const had = element.contains(document.activeElement);
    element.hidden = !selection.active;
    // What had the focus goes away with the bar.
    if (had && element.hidden) ($("library").querySelector('.tile-open[tabindex="0"]') ?? document.querySelector("#view h1"))?.focus();
    const chosen = selection.assets;
    const size = chosen.reduce((sum, one) => sum + (one.size ?? 0), 0);
    setText(words, chosen.length ? `${items(chosen.length)} selected` : "Select items");
    setText(weight, size ? `, ${bytes(size)}` : "");
    setText(all, list.hasMore ? `Select the ${list.assets.length} loaded` : "Select all");
    const held = all === document.activeElement;
    all.hidden = chosen.length === list.assets.length;
    if (held && all.hidden) element.focus();
    for (const one of acts.children) one.disabled = !chosen.length;
  }

  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !selection.active || document.querySelector("dialog:modal")) return;
    // Those have a use for it themselves.
    if (event.target.matches("input:not([type=checkbox]), select, textarea")) return;
    event.preventDefault();
    selection.clear();
  }, { signal });
  selection.addEventListener("change", show, { signal });
  list.addEventListener("change", show, { signal });
  show();
  return element;
}
