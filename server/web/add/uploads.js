/**
 * Files on their way in, a card each, some at a time; they go on while views come and go, and
 * after a reload.
 *
 *   uploads.add(files, place)    place: {project_id, scene_id}, or nothing
 *   uploads.restore()            those that were not finished when the page was closed
 *   uploads.elements: the cards      event `change`: there are others
 */

import { get } from "../api.js";
import { beside } from "../dom.js";
import { announce, toast } from "../notice.js";
import { uploadCard } from "./card.js";
import { kept } from "./kept.js";
import { Sending, elsewhere, forget, load, pathOf } from "./sending.js";

const AT_ONCE = 3;
const RUNNING = new Set(["uploading", "storing", "offline"]);
const UNFINISHED = new Set(["waiting", "paused", ...RUNNING]);

class Uploads extends EventTarget {
  /** @type {Map<Sending, ReturnType<typeof uploadCard>>} */
  #all = new Map();
  #done = [];

  constructor() {
    super();
    addEventListener("beforeunload", (event) => {
      // What the browser keeps goes on by itself.
      if ([...this.#all.keys()].some((one) => UNFINISHED.has(one.state) && !one.safe)) event.preventDefault();
    });
  }

  get elements() {
    return [...this.#all.values()].map((card) => card.element);
  }

  /** @param {Iterable<File>} files */
  add(files, place = {}) {
    for (const file of files) {
      const lost = [...this.#all.keys()].find((one) => one.isOf(file));
      if (lost) lost.found(file);
      else this.#take(new Sending({ file, name: file.name || "pasted", size: file.size, place }));
    }
    this.#changed();
    this.#next();
  }

  async restore() {
    try {
      if (!Object.keys(localStorage).some((key) => key.startsWith("tus::"))) return;
      const [{ defaultOptions }, { items }, busy] = await Promise.all([load(), get("/uploads", { limit: 200 }), elsewhere()]);
      const there = new Map(items.map((one) => [one.url, one]));
      for (const previous of await defaultOptions.urlStorage.findAllUploads()) {
        const path = pathOf(previous.uploadUrl);
        const known = there.get(path);
        if (!known) await forget(previous);
        else if (!busy.has(path) && ![...this.#all.keys()].some((one) => one.url === path)) {
          this.#take(new Sending({ file: await kept.get(path), name: known.filename, size: known.length, sent: known.offset, previous }));
        }
      }
    } catch {
      // Offline, or nothing may be remembered here: the file is chosen again by hand.
    }
    this.#changed();
    this.#next();
  }

  #take(one) {
    const card = uploadCard(one, {
      pause: () => one.pause(),
      resume: () => one.start(this.#urls(one)),
      cancel: () => one.cancel(),
      choose: (file) => {
        if (one.isOf(file)) this.add([file]);
        else card.tell(`This is another file. Choose ${one.name} as it was.`);
      },
    });
    this.#all.set(one, card);
    one.addEventListener("change", () => this.#heard(one, card));
  }

  #heard(one, card) {
    if (one.state === "done" || one.state === "canceled") {
      const had = card.element.contains(document.activeElement);
      const goOn = beside(card.element);
      this.#all.delete(one);
      this.#changed();
      if (had) goOn();
      if (one.state === "done") this.#done.push(one.name);
      this.#tell();
    } else {
      card.update();
      if (one.state === "failed") this.#refused(one, card);
      if (one.state === "paused") announce(`Paused: ${one.name}`);
    }
    if (!RUNNING.has(one.state)) this.#next();
  }

  /** Its card says why: a toast would only repeat it to whoever sees it. */
  #refused(one, { element }) {
    const words = `${one.name} was not uploaded: ${one.words}`;
    const { top, bottom } = element.getBoundingClientRect();
    if (bottom > 0 && top < innerHeight) announce(words);
    else toast(words, { bad: true });
  }

  /** One word for all that came together. */
  #tell() {
    if (!this.#done.length || [...this.#all.keys()].some((one) => RUNNING.has(one.state) || one.state === "waiting")) return;
    toast(this.#done.length === 1 ? `${this.#done[0]} is in the library.` : `${this.#done.length} files are in the library.`);
    this.#done = [];
  }

  #next() {
    const all = [...this.#all.keys()];
    let free = AT_ONCE - all.filter((one) => RUNNING.has(one.state)).length;
    for (const one of all) if (one.state === "waiting" && free-- > 0) one.start(this.#urls(one));
  }

  /** Those of all others. */
  #urls(one) {
    return new Set([...this.#all.keys()].filter((other) => other !== one).map((other) => other.url));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const uploads = new Uploads();
