/**
 * What is generated but not stored here: how many, until when, and saving it again.
 *
 *   saving.save(assets)     tries again to store      saving.isSaving(id)
 *   event `change`          detail: the id of an asset that is being saved, or no longer
 *   saving.hear, load       for the library's list, which tells it of changes
 */

import { get, post } from "./api.js";
import { $, setText } from "./dom.js";
import { left, title } from "./format.js";
import { announce, toast } from "./notice.js";

const AT_RISK = new Set(["url_only", "unsaved"]);
// Nothing was heard of a save for so long: it may be asked for again.
const PATIENCE = 60_000;

class Saving extends EventTarget {
  /** @type {Map<string, object>} what is not stored, and may still be */
  #unsaved = new Map();
  /** @type {Map<string, {error: string | undefined, timer: number}>} what is being saved */
  #asked = new Map();
  /** @type {Map<string, object>} what the toast tells of */
  #told = new Map();
  #closeToast = () => {};

  constructor() {
    super();
    $("save-all").addEventListener("click", () => this.save([...this.#unsaved.values()]));
    setInterval(() => this.#unsaved.size && this.#show(), 1000);
  }

  isSaving(id) {
    return this.#asked.has(id);
  }

  /** What there is now, without a word about it but the banner. */
  async load() {
    try {
      const pages = await Promise.all(
        [...AT_RISK].map((state) => get("/assets", { storage_state: state, limit: 200 })),
      );
      const assets = pages.flatMap((page) => page.items);
      const ids = new Set(assets.map((one) => one.id));
      for (const id of this.#asked.keys()) if (!ids.has(id)) this.#done(id);
      this.#unsaved = new Map(assets.map((one) => [one.id, one]));
      this.#show();
    } catch {
      // Offline: what was known stays.
    }
  }

  /**
   * Assets have changed.
   * @param {object[]} assets as they are now
   * @param {{changed: string[], gone: string[]}} told of which; with fewer assets: too many to fetch
   */
  hear(assets, { changed, gone }) {
    for (const id of gone) this.#forget(id);
    if (changed.length > assets.length) this.load();
    for (const asset of assets) this.#hear(asset);
    this.#show();
  }

  /** Try again to store; nothing is generated again. */
  async save(assets) {
    const fresh = assets.filter((one) => !this.#asked.has(one.id));
    for (const asset of fresh) {
      const timer = setTimeout(() => this.#done(asset.id), PATIENCE);
      this.#asked.set(asset.id, { error: asset.storage_error?.at, timer });
      this.#untell(asset.id);
      this.#changed(asset.id);
    }
    this.#show();
    for (const asset of fresh) {
      try {
        await post(`/assets/${asset.id}/save`);
      } catch (error) {
        this.#done(asset.id);
        if (error.status !== 404) toast(`${title(asset)} is not saved: ${error.message}`, { bad: true });
      }
    }
    this.#show();
  }

  #hear(asset) {
    const [before, asked] = [this.#unsaved.get(asset.id), this.#asked.get(asset.id)];
    if (AT_RISK.has(asset.storage_state)) {
      this.#unsaved.set(asset.id, asset);
      const failed = asset.storage_error?.at;
      if (asked && asked.error !== failed) this.#done(asset.id);
      else if (before || asked) return;
      this.#tell(asset);
      return;
    }
    if (before || asked) {
      const stored = asset.storage_state === "stored";
      this.#forget(asset.id);
      if (stored) toast(`Saved ${title(asset)}`);
      else if (asset.storage_state === "expired") {
        toast(`${title(asset)} was not saved in time: the provider's copy is gone.`, { bad: true });
      }
    }
  }

  /** One toast, however many there are. */
  #tell(asset) {
    this.#told.set(asset.id, asset);
    this.#closeToast();
    const all = [...this.#told.values()];
    const why = asset.storage_error?.message;
    const words =
      all.length === 1
        ? `${title(asset)} is generated, but not saved${why ? `: ${why}` : "."}`
        : `${all.length} items are generated, but not saved${why ? `: ${why}` : "."}`;
    this.#closeToast = toast(words, { bad: true, action: "Retry", onAction: () => this.save(all) });
  }

  #forget(id) {
    this.#unsaved.delete(id);
    this.#untell(id);
    this.#done(id);
  }

  #untell(id) {
    if (this.#told.delete(id) && this.#told.size === 0) this.#closeToast();
  }

  #done(id) {
    const asked = this.#asked.get(id);
    if (!asked) return;
    clearTimeout(asked.timer);
    this.#asked.delete(id);
    this.#changed(id);
    this.#show();
  }

  #changed(id) {
    this.dispatchEvent(new CustomEvent("change", { detail: id }));
  }

  #show() {
    const all = [...this.#unsaved.values()];
    const shown = !$("unsaved").hidden;
    $("unsaved").hidden = all.length === 0;
    if (!all.length) return;
    const count = all.length === 1 ? "1 item is not saved." : `${all.length} items are not saved.`;
    const [soonest] = all.filter((one) => one.storage_state === "url_only").map((one) => one.source_expires_at).filter(Boolean).sort();
    const until = soonest ? ` ${all.length > 1 ? "The first copy at the provider" : "The copy at the provider"}: ${left(soonest)}.` : "";
    setText($("unsaved-words"), count + until);
    if (!shown) announce(count);
    const busy = all.every((one) => this.#asked.has(one.id));
    setText($("save-all"), busy ? "Saving…" : all.length === 1 ? "Save now" : "Save all");
    $("save-all").setAttribute("aria-disabled", String(busy));
  }
}

export const saving = new Saving();
