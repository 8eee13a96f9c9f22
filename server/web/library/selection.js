/**
 * Which assets are selected, for what is done to several at once.
 *
 *   selection.has(id), size, assets    `active`: a click selects instead of opening
 *   toggle(id), reach(id) (all from the last one to this), add(ids), all(), clear(), pick(on)
 *   event `change`
 */

import { announce } from "../notice.js";
import { list } from "./list.js";

class Selection extends EventTarget {
  #ids = new Set();
  #anchor = null;
  #picking = false;

  constructor() {
    super();
    // What is not shown is not selected: nothing is done to what nobody sees.
    list.addEventListener("change", () => {
      const gone = [...this.#ids].filter((id) => !list.find(id));
      if (!gone.length) return;
      for (const id of gone) this.#ids.delete(id);
      this.#changed();
    });
  }

  get size() {
    return this.#ids.size;
  }

  get active() {
    return this.#picking || this.#ids.size > 0;
  }

  /** In the order of the list. */
  get assets() {
    return list.assets.filter((one) => this.#ids.has(one.id));
  }

  has(id) {
    return this.#ids.has(id);
  }

  toggle(id) {
    if (!this.#ids.delete(id)) this.#ids.add(id);
    this.#anchor = id;
    this.#changed();
  }

  /** Everything between the one that was touched last and this one. */
  reach(id) {
    const [from, to] = [list.indexOf(this.#anchor), list.indexOf(id)];
    if (from < 0) {
      this.toggle(id);
      return;
    }
    for (const one of list.assets.slice(Math.min(from, to), Math.max(from, to) + 1)) this.#ids.add(one.id);
    this.#changed();
  }

  /** All that are loaded. */
  all() {
    this.add(list.assets.map((one) => one.id));
  }

  /** Those of them that are shown. */
  add(ids) {
    const shown = ids.filter((id) => list.find(id));
    if (!shown.length) return;
    for (const id of shown) this.#ids.add(id);
    this.#changed();
  }

  clear() {
    this.#ids.clear();
    this.#anchor = null;
    this.#picking = false;
    this.#changed();
  }

  /** Begin selecting with nothing, by touch. */
  pick(on) {
    if (!on) return this.clear();
    this.#picking = true;
    this.#changed();
    return undefined;
  }

  #changed() {
    announce(this.size ? `${this.size} selected` : "Nothing selected");
    this.dispatchEvent(new Event("change"));
  }
}

export const selection = new Selection();
