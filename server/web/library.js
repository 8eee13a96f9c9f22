/** What there is: a grid of assets, newest first, loaded page by page, kept as it changes. */

import { get } from "./api.js";
import { $, arrange, debounce, h } from "./dom.js";
import { tile } from "./tile.js";
import { toast } from "./notice.js";

const PAGE = 48;
// So many changes are fetched one by one; more are quicker as a list.
const FEW = 8;

export class Library {
  #assets = [];
  /** @type {Map<string, ReturnType<typeof tile>>} */
  #tiles = new Map();
  #cursor = null;
  #loading = null;
  #turn = 0;
  #filters = { q: "", kind: "" };

  /**
   * @param {{onOpen: (asset: object) => void, emptyState: () => Node[], saving: object,
   *   onChange?: (assets: object[]) => void}} options
   */
  constructor({ onOpen, emptyState, saving, onChange = () => {} }) {
    this.onOpen = onOpen;
    this.saving = saving;
    this.emptyState = emptyState;
    this.onChange = onChange;
    const apply = () => {
      this.#filters = { q: $("search").value.trim(), kind: $("kind").value };
      this.reload();
    };
    $("search").addEventListener("input", debounce(250, apply));
    $("kind").addEventListener("change", apply);
    $("filters").addEventListener("submit", (event) => {
      event.preventDefault();
      apply();
    });
    $("more").addEventListener("click", () => this.more());
    new IntersectionObserver(([entry]) => entry.isIntersecting && this.more(), {
      rootMargin: "600px",
    }).observe($("more"));
    setInterval(() => this.#tick(), 1000);
  }

  get assets() {
    return this.#assets;
  }

  /**
   * What the server told of: fetched again where it is shown already, listed where it is new.
   * @param {{changed: string[], gone: string[]}} told
   * @returns {Promise<object[]>} those that were fetched one by one
   */
  async hear({ changed, gone }) {
    for (const id of gone) this.drop(id);
    if (changed.length > FEW) {
      await this.refresh();
      return [];
    }
    const known = new Set(this.#assets.map((one) => one.id));
    const shown = changed.filter((id) => known.has(id));
    const found = await Promise.all(shown.map((id) => get(`/assets/${id}`).catch(() => null)));
    const assets = found.filter(Boolean);
    for (const asset of assets) this.put(asset);
    // One that is new may be gone by now, or hidden by the filters: the list knows.
    const fresh = changed.filter((id) => !known.has(id));
    if (!fresh.length) return assets;
    await this.refresh();
    return [...assets, ...this.#assets.filter((one) => fresh.includes(one.id))];
  }

  /** An asset is being saved, or no longer. */
  again(id) {
    const asset = this.#assets.find((one) => one.id === id);
    if (asset) this.#tiles.get(id)?.update(asset);
  }

  /** From the start, with the filters as they are. */
  async reload() {
    const turn = ++this.#turn;
    const page = await this.#page(null);
    // Whoever typed on meanwhile wants another answer.
    if (!page || turn !== this.#turn) return;
    this.#assets = page.items;
    this.#cursor = page.next_cursor;
    this.#show();
  }

  /** The first page again; what was loaded beyond it stays. */
  async refresh() {
    const turn = this.#turn;
    const page = await this.#page(null);
    if (!page || turn !== this.#turn) return;
    const last = page.items.at(-1);
    const fresh = new Set(page.items.map((one) => one.id));
    const older =
      page.next_cursor && last
        ? this.#assets.filter((one) => one.created_at <= last.created_at && !fresh.has(one.id))
        : [];
    if (!older.length) this.#cursor = page.next_cursor;
    this.#assets = [...page.items, ...older];
    this.#show();
  }

  /** The next page. */
  more() {
    if (!this.#cursor) return;
    this.#loading ??= (async () => {
      const turn = this.#turn;
      const page = await this.#page(this.#cursor);
      this.#loading = null;
      if (!page || turn !== this.#turn) return;
      const known = new Set(this.#assets.map((one) => one.id));
      this.#assets.push(...page.items.filter((one) => !known.has(one.id)));
      this.#cursor = page.next_cursor;
      this.#show();
    })();
  }

  /** Show an asset as it is now. */
  put(asset) {
    const index = this.#assets.findIndex((one) => one.id === asset.id);
    if (index >= 0) this.#assets[index] = asset;
    else this.#assets.unshift(asset);
    this.#show();
  }

  /** Take an asset away; the focus goes to its neighbour. */
  drop(id) {
    const index = this.#assets.findIndex((one) => one.id === id);
    if (index < 0) return;
    const had = this.#tiles.get(id)?.element.contains(document.activeElement);
    this.#assets.splice(index, 1);
    this.#show();
    if (had || document.activeElement === document.body) this.focus((this.#assets[index] ?? this.#assets[index - 1])?.id);
  }

  /** Put the focus on an asset, else on the list. */
  focus(id) {
    (this.#tiles.get(id)?.button ?? $("library")).focus();
  }

  clearFilters() {
    $("search").value = "";
    $("kind").value = "";
    this.#filters = { q: "", kind: "" };
    this.reload();
  }

  async #page(cursor) {
    try {
      return await get("/assets", { ...this.#filters, cursor, limit: PAGE });
    } catch (error) {
      // While the connection is lost the page says so elsewhere.
      if (error.status) toast(error.message, { bad: true });
      return null;
    }
  }

  #show() {
    const tiles = new Map();
    for (const asset of this.#assets) {
      const one = this.#tiles.get(asset.id) ?? tile(asset, (now) => this.onOpen(now), this.saving);
      one.update(asset);
      tiles.set(asset.id, one);
    }
    this.#tiles = tiles;
    arrange($("library"), [...tiles.values()].map((one) => one.element));
    $("more").hidden = !this.#cursor;
    this.#showEmpty();
    this.onChange(this.#assets);
  }

  /** Countdowns go on. */
  #tick() {
    for (const asset of this.#assets) {
      if (asset.storage_state === "url_only") this.#tiles.get(asset.id)?.tick();
    }
  }

  #showEmpty() {
    const filtered = Boolean(this.#filters.q || this.#filters.kind);
    const none = this.#assets.length === 0;
    $("filtered").hidden = !filtered;
    if (filtered) {
      const count = this.#cursor ? `${this.#assets.length} or more match` : `${this.#assets.length} match`;
      $("filtered").replaceChildren(
        `${none ? "Nothing matches" : count}; everything else is hidden. `,
        h("button.quiet.strong", { type: "button", onclick: () => this.clearFilters() }, "Show everything"),
      );
    }
    const first = none && !filtered;
    $("filters").hidden = first;
    $("library").hidden = none;
    const shown = !$("empty").hidden;
    $("empty").hidden = !first;
    if (first && !shown) $("empty").replaceChildren(...this.emptyState());
  }
}
