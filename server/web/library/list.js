/**
 * What the library lists: assets, newest first, loaded page by page, kept as they change. It stays
 * while views come and go, so that the grid, and previous and next in the player, know the same.
 *
 *   list.assets, list.more() , list.filters, list.filter({...})  and the event `change`
 *   list.again(id)   tells that an asset is to be shown anew: event `asset`, detail: id
 */

import { get } from "../api.js";
import { live } from "../live.js";
import { toast } from "../notice.js";
import { saving } from "../saving.js";

const PAGE = 48;
// So many changes are fetched one by one; more are quicker as a list.
const FEW = 8;

class List extends EventTarget {
  #cursor = null;
  #loading = null;
  #turn = 0;
  assets = [];
  filters = {};
  listed = false;

  get hasMore() {
    return Boolean(this.#cursor);
  }

  /** Asks for other ones. */
  filter(filters) {
    this.filters = filters;
    return this.reload();
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
    const known = new Set(this.assets.map((one) => one.id));
    const shown = changed.filter((id) => known.has(id));
    const found = await Promise.all(shown.map((id) => get(`/assets/${id}`).catch(() => null)));
    const assets = found.filter(Boolean);
    for (const asset of assets) this.put(asset);
    // One that is new may be gone by now, or hidden by the filters: the list knows.
    const fresh = changed.filter((id) => !known.has(id));
    if (!fresh.length) return assets;
    await this.refresh();
    return [...assets, ...this.assets.filter((one) => fresh.includes(one.id))];
  }

  /** From the start, with the filters as they are. */
  async reload() {
    const turn = ++this.#turn;
    const page = await this.#page(null);
    // Whoever typed on meanwhile wants another answer.
    if (!page || turn !== this.#turn) return;
    this.assets = page.items;
    this.#cursor = page.next_cursor;
    this.#changed();
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
        ? this.assets.filter((one) => one.created_at <= last.created_at && !fresh.has(one.id))
        : [];
    if (!older.length) this.#cursor = page.next_cursor;
    this.assets = [...page.items, ...older];
    this.#changed();
  }

  /** The next page. */
  more() {
    if (!this.#cursor) return this.#loading;
    this.#loading ??= (async () => {
      const turn = this.#turn;
      const page = await this.#page(this.#cursor);
      this.#loading = null;
      if (!page || turn !== this.#turn) return;
      const known = new Set(this.assets.map((one) => one.id));
      this.assets.push(...page.items.filter((one) => !known.has(one.id)));
      this.#cursor = page.next_cursor;
      this.#changed();
    })();
    return this.#loading;
  }

  find(id) {
    return this.assets.find((one) => one.id === id);
  }

  /** Show an asset as it is now. */
  put(asset) {
    const index = this.assets.findIndex((one) => one.id === asset.id);
    if (index >= 0) this.assets[index] = asset;
    else if (!Object.values(this.filters).some(Boolean)) this.assets.unshift(asset);
    this.#changed();
  }

  /** Take an asset away. */
  drop(id) {
    const index = this.assets.findIndex((one) => one.id === id);
    if (index < 0) return;
    this.assets.splice(index, 1);
    this.#changed();
  }

  again(id) {
    this.dispatchEvent(new CustomEvent("asset", { detail: id }));
  }

  async #page(cursor) {
    try {
      return await get("/assets", { ...this.filters, cursor, limit: PAGE });
    } catch (error) {
      // While the connection is lost the page says so elsewhere.
      if (error.status) toast(error.message, { bad: true });
      return null;
    }
  }

  #changed() {
    this.listed = true;
    this.dispatchEvent(new Event("change"));
  }
}

export const list = new List();

live.addEventListener("assets", async ({ detail }) => saving.hear(await list.hear(detail), detail));
live.addEventListener("reload", () => {
  list.refresh();
  saving.load();
});
saving.addEventListener("change", ({ detail }) => list.again(detail));
