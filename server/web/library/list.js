/**
 * What the library lists: assets, newest first, loaded page by page, kept as they change. It stays
 * while views come and go, so that the grid, and previous and next in the player, know the same.
 *
 *   list.assets, list.more(), list.find(id), list.indexOf(id)   and the event `change`
 *   list.filter({...})   asks for others, by the parameters of GET /assets; list.filters
 *   list.matching, list.all   how many match the filters, of how many there are
 *   list.arrived         how many are new since, and hidden by the filters
 *   list.seen            the id of the one that was opened last
 *   list.hide(...ids)    out of sight at once, while they are deleted
 *   list.again(id)       tells that an asset is to be shown anew: event `asset`, detail: id
 */

import { get } from "../api.js";
import { live } from "../live.js";
import { toast } from "../notice.js";
import { saving } from "../saving.js";

const FIRST = 48;
const PAGE = 120;
// So many changes are fetched one by one; more are quicker as a list.
const FEW = 8;

const newestFirst = (one, other) =>
  one.created_at === other.created_at ? (one.id < other.id ? 1 : -1) : one.created_at < other.created_at ? 1 : -1;

class List extends EventTarget {
  #cursor = null;
  #loading = null;
  #turn = 0;
  #asked = 0;
  #waiting = 0;
  /** @type {Map<string, number>} what is deleted, and which is the last request that may still find it */
  #leaving = new Map();
  /** @type {Map<string, number> | null} where each asset is, by its id */
  #places = null;
  assets = [];
  filters = {};
  listed = false;
  matching = 0;
  all = 0;
  arrived = 0;
  /** @type {string | null} */
  seen = null;
  /** Why the list could not be had. */
  trouble = "";

  get hasMore() {
    return Boolean(this.#cursor);
  }

  get filtering() {
    return Object.values(this.filters).some(Boolean);
  }

  /** Asks for other ones. */
  filter(filters) {
    this.filters = filters;
    return this.reload();
  }

  /**
   * What the server told of: fetched again where it is shown already, listed where it is new.
   * @param {{changed: string[], gone: string[]}} told
   * @returns {Promise<object[]>} those that were fetched alone
   */
  async hear({ changed, gone }) {
    const hidden = this.filtering && gone.some((id) => !this.find(id));
    if (changed.length + gone.length > FEW) {
      this.drop(...gone);
      if (changed.length || hidden) await this.refresh();
      return [];
    }
    const shown = [...changed, ...gone].filter((id) => this.find(id));
    const assets = await this.renew(...shown);
    // Such a word may come late: what was restored meanwhile is there, and stays selected.
    this.drop(...gone.filter((id) => !assets.some((one) => one.id === id)));
    // One that is new may be gone by now, or hidden by the filters: the list knows.
    const fresh = changed.filter((id) => !shown.includes(id));
    if (!fresh.length && !hidden) return assets;
    await this.refresh();
    return [...assets, ...this.assets.filter((one) => fresh.includes(one.id))];
  }

  /** From the start, with the filters as they are. */
  async reload() {
    const turn = ++this.#turn;
    const page = await this.#page(null, FIRST);
    // Whoever typed on meanwhile wants another answer.
    if (turn !== this.#turn) return;
    if (page) {
      this.assets = page.items;
      this.#cursor = page.next_cursor;
      this.arrived = 0;
      this.#count(page);
    }
    this.#changed();
  }

  /** The first page again; what was loaded beyond it stays. */
  async refresh() {
    const turn = this.#turn;
    const page = await this.#page(null, FIRST);
    if (!page || turn !== this.#turn) return;
    const { last } = page;
    const fresh = new Set(page.items.map((one) => one.id));
    const older =
      page.next_cursor && last
        ? this.assets.filter((one) => one.created_at <= last.created_at && !fresh.has(one.id))
        : [];
    if (!older.length) this.#cursor = page.next_cursor;
    this.assets = [...page.items, ...older];
    // What came, and is not among what matches.
    const hidden = page.all - this.all - (page.matching - this.matching);
    if (this.listed && this.filtering && hidden > 0) this.arrived += hidden;
    this.#count(page);
    this.#changed();
  }

  /** The next page. */
  more() {
    if (!this.#cursor) return this.#loading;
    this.#loading ??= (async () => {
      const turn = this.#turn;
      const page = await this.#page(this.#cursor, PAGE);
      this.#loading = null;
      if (!page || turn !== this.#turn) return;
      this.assets.push(...page.items.filter((one) => !this.find(one.id)));
      this.#cursor = page.next_cursor;
      this.#changed();
    })();
    return this.#loading;
  }

  indexOf(id) {
    this.#places ??= new Map(this.assets.map((one, index) => [one.id, index]));
    return this.#places.get(id) ?? -1;
  }

  find(id) {
    return this.assets[this.indexOf(id)];
  }

  /** Show an asset as it is now. */
  put(asset) {
    const index = this.indexOf(asset.id);
    if (index >= 0) this.assets[index] = asset;
    else if (this.filtering) return;
    else {
      this.assets.unshift(asset);
      this.matching += 1;
      this.all += 1;
    }
    this.#changed();
  }

  /** Take assets away. */
  drop(...ids) {
    const gone = new Set(ids.filter((id) => this.find(id)));
    if (!gone.size) return;
    this.assets = this.assets.filter((one) => !gone.has(one.id));
    this.matching -= gone.size;
    this.all -= gone.size;
    this.#changed();
  }

  /**
   * Take assets away before the server has answered; what was asked for before does not bring them back.
   * @returns {{gone: (ids: string[]) => void, back: () => void}} gone: these are deleted; back: the
   *   others are not, and are where they were
   */
  hide(...ids) {
    const hidden = ids.map((id) => this.find(id)).filter(Boolean);
    const left = new Set(ids);
    const [turn, asked, waiting] = [this.#turn, this.#asked, this.#waiting];
    for (const id of ids) this.#leaving.set(id, Infinity);
    this.drop(...ids);
    return {
      gone: (piece) => {
        for (const id of piece) {
          left.delete(id);
          this.#leaving.set(id, this.#asked);
        }
        // How many there are was counted meanwhile, with or without them.
        if (!left.size && (waiting || asked !== this.#asked)) this.refresh();
      },
      back: () => {
        for (const id of left) this.#leaving.delete(id);
        if (turn !== this.#turn) return this.reload();
        const kept = hidden.filter((one) => left.has(one.id) && !this.find(one.id));
        this.assets = [...this.assets, ...kept].sort(newestFirst);
        this.matching += kept.length;
        this.all += kept.length;
        this.#changed();
        // Some may have been gone already.
        return this.refresh();
      },
    };
  }

  /**
   * As they are now: what does not show what it should may have another URL.
   * @returns {Promise<object[]>} those that are there
   */
  async renew(...ids) {
    if (!ids.length) return [];
    // By the list: one that is gone by now is no error there.
    const found = await get("/assets", { ids: ids.join(), limit: ids.length }).catch(() => null);
    const assets = found?.items ?? [];
    for (const asset of assets) if (this.find(asset.id)) this.put(asset);
    return assets;
  }

  again(id) {
    this.dispatchEvent(new CustomEvent("asset", { detail: id }));
  }

  async #page(cursor, limit) {
    const number = ++this.#asked;
    this.#waiting += 1;
    try {
      const page = await get("/assets", { ...this.filters, cursor, limit });
      this.trouble = "";
      const items = page.items.filter((one) => !(this.#leaving.get(one.id) >= number));
      // The counts have those, too, that are further down than this page.
      const fewer = [...this.#leaving.values()].filter((last) => last >= number).length;
      return { ...page, items, last: page.items.at(-1), matching: page.matching - fewer, all: page.all - fewer };
    } catch (error) {
      this.trouble = error.message;
      // While the connection is lost the page says so elsewhere.
      if (error.status) toast(error.message, { bad: true });
      return null;
    } finally {
      this.#waiting -= 1;
    }
  }

  #count({ matching, all }) {
    Object.assign(this, { matching, all });
  }

  #changed() {
    this.listed = true;
    this.#places = null;
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
