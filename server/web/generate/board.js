/**
 * The storyboard that is being written: its clips, and what holds for all of them. It survives
 * the change of views and the reload of the page.
 *
 *   board.open()                    when it is shown: what was kept is there from then on
 *   board.clips, board.settings     as they are       board.keep()    after a change of a field
 *   board.add(values, after), duplicate(clip), remove(clip), move(clip, by), clear()
 *   board.setPicture(clip, "image" | "last", picture)
 *   event `change`: other clips, or others' places
 */

import { debounce, memory, randomId } from "../dom.js";
import { session } from "../state.js";
import { Picture } from "./picture.js";

export const MOST = 20;
const PICTURES = ["image", "last"];
// Whoever signs in next on this machine has another one.
const KEPT = `board.${session.user_id}`;

/**
 * @typedef {{key: string, prompt: string, image: Picture | null, last: Picture | null, previous: boolean,
 *   seconds: string, options: Record<string, string>, extra: string}} Clip
 */

/** @returns {Clip} */
const blank = (values = {}) => ({
  prompt: "", image: null, last: null, previous: false, seconds: "", options: {}, extra: "", ...values, key: randomId(),
});

class Board extends EventTarget {
  /** @type {Clip[]} */
  clips = [];
  settings = { model: "", options: {}, extra: "", project: "", scene: "", combine: true };
  keep = debounce(150, () => this.#save());

  /** At the first visit, not when the module comes: other tabs write what is kept, too. */
  open() {
    if (this.clips.length) return;
    const { clips = [], settings } = memory.get(KEPT, {});
    Object.assign(this.settings, settings);
    this.clips = clips.map((one) => {
      const clip = blank(one);
      for (const name of PICTURES) if (one[name]) this.#follow(clip, name, Picture.ofMemory(one[name]));
      return clip;
    });
    if (!this.clips.length) this.clips = [blank()];
    addEventListener("pagehide", () => this.#save());
  }

  /** Whether nothing was written yet. */
  get isBlank() {
    return this.clips.length === 1 && isBlank(this.clips[0]);
  }

  add(values = {}, after = this.clips.at(-1)) {
    const clip = blank({ seconds: after?.seconds ?? "", ...values });
    this.clips.splice(this.clips.indexOf(after) + 1, 0, clip);
    this.#changed();
    return clip;
  }

  duplicate(clip) {
    return this.add({ ...clip, options: { ...clip.options } }, clip);
  }

  /** @returns {() => void} puts it back */
  remove(clip) {
    const index = this.clips.indexOf(clip);
    this.clips.splice(index, 1);
    if (!this.clips.length) this.clips.push(blank());
    this.#changed();
    return () => {
      if (this.isBlank) this.clips = [];
      this.clips.splice(index, 0, clip);
      this.#changed();
    };
  }

  move(clip, by) {
    const from = this.clips.indexOf(clip);
    const to = Math.max(0, Math.min(this.clips.length - 1, from + by));
    if (from === to) return;
    this.clips.splice(from, 1);
    this.clips.splice(to, 0, clip);
    this.#changed();
  }

  clear() {
    const before = this.clips;
    this.clips = [blank()];
    this.#changed();
    return () => {
      this.clips = before;
      this.#changed();
    };
  }

  setPicture(clip, name, picture) {
    // A duplicate may have it, too.
    const others = this.clips.filter((one) => one !== clip).flatMap((one) => PICTURES.map((which) => one[which]));
    if (clip[name] && !others.includes(clip[name])) clip[name].drop();
    this.#follow(clip, name, picture);
    this.keep();
  }

  #follow(clip, name, picture) {
    clip[name] = picture;
    // It is remembered once it is in the library.
    picture?.addEventListener("change", this.keep);
  }

  #changed() {
    this.keep();
    this.dispatchEvent(new Event("change"));
  }

  #save() {
    const kept = (picture) => (picture?.asset ? { id: picture.asset.id, name: picture.name } : null);
    const clips = this.clips.map((clip) => ({ ...clip, image: kept(clip.image), last: kept(clip.last) }));
    memory.set(KEPT, { clips, settings: this.settings });
  }
}

export const isBlank = (clip) => !clip.prompt.trim() && !clip.image && !clip.last;

export const board = new Board();
