/** The library: what goes on, and a grid of what there is. */

import { arrange, debounce, h, heading } from "../dom.js";
import { placeProgress } from "../jobs/progress.js";
import { go } from "../router.js";
import { firstVisit } from "./empty.js";
import { list } from "./list.js";
import { tile } from "./tile.js";

/** @type {string | null} which asset was opened from here */
let opened = null;

export function mount(root, { query, signal, keep }) {
  const search = h("input", { id: "search", type: "search", name: "q", placeholder: "Search", "aria-label": "Search names and prompts", autocomplete: "off" });
  const kind = h("select", { id: "kind", name: "kind", "aria-label": "Kind" },
    h("option", { value: "" }, "Everything"), h("option", { value: "video" }, "Video"), h("option", { value: "image" }, "Images"),
    h("option", { value: "audio" }, "Audio"), h("option", { value: "other" }, "Other files"));
  const filters = h("form.filters", { id: "filters", role: "search" }, search, kind);
  const filtered = h("p.filtered", { role: "status", hidden: true });
  const grid = h("ul.grid", { id: "library", tabindex: -1, "aria-label": "Assets" });
  const empty = h("div.empty", { hidden: true });
  const more = h("button.secondary", { type: "button", hidden: true, onclick: () => list.more() }, "Load more");
  const head = h("div.view-head", {},
    heading("Library"), filters);
  const progress = h("div");
  root.append(head, progress, filtered, grid, empty, h("p.more", {}, more));
  placeProgress(progress);

  /** @type {Map<string, ReturnType<typeof tile>>} */
  let tiles = new Map();
  const open = (asset) => {
    opened = asset.id;
    go(`/asset/${asset.id}`);
  };

  const apply = () => {
    const wanted = { q: search.value.trim(), kind: kind.value };
    keep(Object.entries(wanted).filter(([, value]) => value));
    return list.filter(wanted);
  };
  search.addEventListener("input", debounce(250, apply));
  kind.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  const watch = new IntersectionObserver(([entry]) => entry.isIntersecting && list.more(), { rootMargin: "600px" });
  watch.observe(more);
  const clock = setInterval(() => {
    for (const asset of list.assets) if (asset.storage_state === "url_only") tiles.get(asset.id)?.tick();
  }, 1000);
  signal.addEventListener("abort", () => {
    watch.disconnect();
    clearInterval(clock);
  });

  function show() {
    const had = [...tiles].findIndex(([, one]) => one.element.contains(document.activeElement));
    const next = new Map();
    for (const asset of list.assets) {
      const one = tiles.get(asset.id) ?? tile(asset, open);
      one.update(asset);
      next.set(asset.id, one);
    }
    tiles = next;
    arrange(grid, [...tiles.values()].map((one) => one.element));
    more.hidden = !list.hasMore;
    showEmpty();
    // What had the focus is gone: it goes to the neighbour.
    if (had >= 0 && !grid.contains(document.activeElement)) {
      const all = [...tiles.values()];
      (all[Math.min(had, all.length - 1)]?.button ?? grid).focus();
    }
  }

  function showEmpty() {
    const filtering = Object.values(list.filters).some(Boolean);
    const none = list.assets.length === 0;
    filtered.hidden = !filtering;
    if (filtering) {
      const count = list.hasMore ? `${list.assets.length} or more match` : `${list.assets.length} match`;
      filtered.replaceChildren(
        `${none ? "Nothing matches" : count}; everything else is hidden. `,
        h("button.quiet.strong", { type: "button", onclick: clear }, "Show everything"),
      );
    }
    const first = none && !filtering;
    filters.hidden = first;
    grid.hidden = none;
    const shown = !empty.hidden;
    empty.hidden = !first;
    if (first && !shown) empty.replaceChildren(...firstVisit());
  }

  function clear() {
    search.value = "";
    kind.value = "";
    return apply();
  }

  list.addEventListener("change", show, { signal });
  list.addEventListener("asset", ({ detail: id }) => {
    const asset = list.find(id);
    if (asset) tiles.get(id)?.update(asset);
  }, { signal });

  search.value = query.get("q") ?? "";
  kind.value = query.get("kind") ?? "";
  const wanted = { q: search.value, kind: kind.value };
  const same = list.listed && Object.entries(wanted).every(([name, value]) => (list.filters[name] ?? "") === value);
  if (!same) return list.filter(wanted);
  show();
  return tiles.get(opened)?.button;
}
