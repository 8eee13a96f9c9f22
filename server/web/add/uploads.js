/**
 * Files on their way in, a card each, two at a time; they go on while views come and go.
 *
 *   uploads.add(files)    uploads.elements: the cards    event `change`: there are others
 */

import { upload } from "../api.js";
import { h, icon } from "../dom.js";
import { bytes } from "../format.js";
import { leader } from "../frame.js";
import { list } from "../library/list.js";
import { toast } from "../notice.js";

const AT_ONCE = 2;

class Uploads extends EventTarget {
  #waiting = [];
  #running = 0;
  #cards = new Set();

  constructor() {
    super();
    addEventListener("beforeunload", (event) => {
      if (this.#cards.size) event.preventDefault();
    });
  }

  get elements() {
    return [...this.#cards];
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) this.#waiting.push(this.#prepare(file));
    this.dispatchEvent(new Event("change"));
    this.#next();
  }

  #prepare(file) {
    const frame = leader(`Upload of ${file.name}`);
    const status = h("span.status", {}, "Waiting");
    const reason = h("p.reason", { hidden: true });
    const buttons = h("div.card-buttons");
    const element = h(
      "li.tile.card",
      { "data-upload": file.name },
      frame.element,
      h("div.card-body", {},
        h("p.meta", {}, status, h("span.counter", {}, bytes(file.size))),
        h("p.name", { title: file.name }, file.name),
        reason,
        buttons),
    );
    const one = { file, frame, status, reason, buttons, element, stop: new AbortController() };
    this.#cards.add(element);
    this.#offerCancel(one);
    frame.set(0, "Waiting");
    return one;
  }

  #offerCancel(one) {
    const cancel = () => {
      one.stop.abort();
      this.#waiting = this.#waiting.filter((other) => other !== one);
      this.#drop(one);
    };
    one.buttons.replaceChildren(h("button.quiet", { type: "button", onclick: cancel }, "Cancel"));
  }

  #drop(one) {
    this.#cards.delete(one.element);
    this.dispatchEvent(new Event("change"));
  }

  async #next() {
    if (this.#running >= AT_ONCE || !this.#waiting.length) return;
    const one = this.#waiting.shift();
    this.#running += 1;
    this.#next();
    try {
      one.status.textContent = "Uploading";
      await upload(one.file, one.file.name, {
        signal: one.stop.signal,
        onProgress: (share) => {
          // The last bytes are out; the answer comes when they are on the disk.
          const words = share < 1 ? "Uploading" : "Storing";
          one.status.textContent = words;
          one.frame.set(Math.min(share, 0.99), words);
        },
      });
      this.#drop(one);
      list.refresh();
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(one, error);
    }
    this.#running -= 1;
    this.#next();
  }

  #fail(one, error) {
    one.element.dataset.status = "failed";
    one.status.textContent = "Not uploaded";
    one.reason.textContent = error.message;
    one.reason.hidden = false;
    const broken = h("div.frame.broken", {}, icon("close"));
    const old = one.element.firstElementChild;
    old.replaceWith(broken);
    const retry = () => {
      broken.replaceWith(old);
      delete one.element.dataset.status;
      one.reason.hidden = true;
      one.frame.set(0, "Waiting");
      this.#offerCancel(one);
      this.#waiting.push(one);
      this.#next();
    };
    one.buttons.replaceChildren(
      h("button.quiet.strong", { type: "button", onclick: retry }, "Retry"),
      h("button.quiet", { type: "button", onclick: () => this.#drop(one) }, "Dismiss"),
    );
    toast(`${one.file.name} was not uploaded: ${error.message}`, { bad: true });
  }
}

export const uploads = new Uploads();
