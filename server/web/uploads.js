/** Files on their way in: chosen, dropped or pasted, a card each, two at a time. */

import { upload } from "./api.js";
import { $, h, icon } from "./dom.js";
import { bytes } from "./format.js";
import { leader } from "./frame.js";
import { toast } from "./notice.js";

const AT_ONCE = 2;

export class Uploads {
  #waiting = [];
  #running = 0;
  #cards = new Set();

  /** @param {{onDone: () => void, onChange: () => void}} heard */
  constructor({ onDone, onChange }) {
    this.onDone = onDone;
    this.onChange = onChange;
    $("add-files").addEventListener("click", () => $("files").click());
    $("files").addEventListener("change", () => {
      this.add($("files").files);
      $("files").value = "";
    });
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
    this.onChange();
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
    this.onChange();
  }

  async #next() {
    if (this.#running >= AT_ONCE || !this.#waiting.length) return;
    const one = this.#waiting.shift();
    this.#running += 1;
    this.#next();
    try {
      one.status.textContent = "Uploading";
      const asset = await upload(one.file, one.file.name, {
        signal: one.stop.signal,
        onProgress: (share) => {
          // The last bytes are out; the answer comes when they are on the disk.
          const words = share < 1 ? "Uploading" : "Storing";
          one.status.textContent = words;
          one.frame.set(Math.min(share, 0.99), words);
        },
      });
      this.#drop(one);
      this.onDone(asset);
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

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/**
 * Files dropped anywhere go to the library; an image dropped on the slate is a first frame.
 * @param {{onFiles: (files: FileList) => void, slate: HTMLElement, onImage: (file: File) => void}} where
 */
export function acceptDrops({ onFiles, slate, onImage }) {
  const veil = $("drop");
  let depth = 0;
  const end = () => {
    depth = 0;
    veil.hidden = true;
    slate.classList.remove("dropping");
  };
  const overSlate = (event) => event.target instanceof Node && slate.contains(event.target);
  const blocked = () => document.querySelector("dialog:modal") !== null;
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event) || blocked()) return;
    depth += 1;
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) end();
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (blocked()) return;
    slate.classList.toggle("dropping", overSlate(event));
    veil.hidden = overSlate(event);
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    end();
    if (blocked()) return;
    const { files } = event.dataTransfer;
    const [first] = files;
    if (overSlate(event) && first?.type.startsWith("image/")) onImage(first);
    else onFiles(files);
  });
  addEventListener("paste", (event) => {
    const [file] = [...(event.clipboardData?.files ?? [])].filter((one) => one.type.startsWith("image/"));
    if (!file || blocked()) return;
    event.preventDefault();
    onImage(file);
  });
}
