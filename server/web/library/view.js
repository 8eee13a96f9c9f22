/** The library: what goes on, and a grid of what there is. */

import { h, heading, icon } from "../dom.js";
import { items } from "../format.js";
import { missing } from "../notice.js";
import { go } from "../router.js";
import { bar } from "./bar.js";
import { asked, filterForm } from "./filters.js";
import { Grid } from "./grid.js";
import { list } from "./list.js";
import { selection } from "./selection.js";

export async function mount(root, { query, signal, keep }) {
  const title = heading("Library");
  const count = h("span.view-count", { "aria-hidden": "true" });
  const pick = h("button.secondary", { type: "button", "aria-pressed": "false", onclick: choose }, icon("check"), "Select");
  const head = h("div.view-head", {}, h("div.view-name", {}, title, count), h("a.secondary.short", { href: "#/manage/trash", "aria-label": "Trash" }, icon("trash"), h("span", {}, "Trash")), pick);
  const filters = filterForm(query, { onChange: apply, signal });
  const shown = h("p.filtered", { id: "filtered", role: "status" });
  const grid = new Grid((asset) => {
    list.seen = asset.id;
    go(`/asset/${asset.id}`);
  }, signal);
  const keys = h("p.visually-hidden", { id: "library-keys" }, "Arrow keys move, Enter opens, x selects, Delete deletes.");
  const empty = h("div.empty", { hidden: true });
  const progress = h("div");
  root.append(head, filters.element, shown, progress, grid.element, keys, empty, bar(signal));

  /** Begins to select, where there is something to select: cards may have pushed it out of sight. */
  function choose() {
    selection.pick(!selection.active);
    if (selection.active && grid.element.getBoundingClientRect().top > innerHeight / 2) grid.element.scrollIntoView({ block: "start" });
  }

  function apply(wanted) {
    keep(Object.entries(wanted).filter(([, value]) => value));
    return list.filter(asked(wanted));
  }

  function show() {
    const none = list.assets.length === 0;
    const first = none && !list.filtering && list.listed && !list.trouble && !list.all;
    filters.element.hidden = first;
    pick.hidden = none;
    grid.element.hidden = none;
    count.textContent = list.all ? list.all.toLocaleString() : "";
    const was = !empty.hidden;
    empty.hidden = !first;
    if (first && !was) import("./empty.js").then(({ firstVisit }) => empty.replaceChildren(...firstVisit()), missing);
    tell(none);
    grid.show();
  }

  /** What the filters hide, so that nothing seems to have vanished. */
  function tell(none) {
    const { matching, all, arrived, filtering, trouble } = list;
    const parts = [];
    if (trouble && none) {
      parts.push(`${trouble} `, h("button.quiet.strong", { type: "button", onclick: () => list.reload() }, "Try again"));
    } else if (filtering) {
      const words = matching ? `${matching.toLocaleString()} of ${all.toLocaleString()} shown` : "Nothing matches";
      const hidden = all - matching;
      parts.push(`${words}${hidden ? `; ${hidden.toLocaleString()} hidden by filters` : ""}. `,
        h("button.quiet.strong", { type: "button", onclick: () => filters.clear() }, "Clear"));
      if (arrived) {
        parts.push(h("span.arrived", {}, `${arrived === 1 ? "1 new item is" : `${items(arrived).replace(" ", " new ")} are`} hidden. `,
          h("button.quiet.strong", { type: "button", onclick: () => filters.clear() }, "Show")));
      }
    }
    const words = parts.map((one) => (typeof one === "string" ? one : one.textContent)).join("");
    if (shown.textContent !== words) shown.replaceChildren(...parts);
    shown.hidden = parts.length === 0;
  }

  /** What goes on has many modules: they come after what there is. */
  const goesOn = () => import("../jobs/progress.js").then(({ placeProgress }) => signal.aborted || placeProgress(progress), missing);

  list.addEventListener("change", show, { signal });
  list.addEventListener("asset", ({ detail: id }) => grid.again(id), { signal });
  selection.addEventListener("change", () => pick.setAttribute("aria-pressed", String(selection.active)), { signal });
  signal.addEventListener("abort", () => selection.size + selection.active && selection.clear());

  const wanted = asked(filters.value());
  const same = list.listed && JSON.stringify(Object.entries(wanted).sort()) === JSON.stringify(Object.entries(list.filters).filter(([, value]) => value).sort());
  if (!same) {
    list.seen = null;
    await list.filter(wanted);
    goesOn();
    return undefined;
  }
  show();
  await goesOn();
  if (signal.aborted) return undefined;
  if (!list.find(list.seen)) return undefined;
  // Where one was: what was looked at last has the focus.
  grid.show(list.seen);
  list.seen = null;
  return grid.button;
}
