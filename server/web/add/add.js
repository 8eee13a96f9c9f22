/**
 * Adding, from everywhere:
 *
 *   openAdd()         the dialog: files of this device, or the address of something elsewhere
 *   acceptDrops()     files dropped or pasted anywhere on the page are uploaded
 *   dropTarget(element, onFiles, {signal, paste})   but those dropped on this element go there;
 *                     paste: so do images that are pasted, wherever
 */

import { $, h, icon } from "../dom.js";
import { openDialog } from "../dialog.js";
import { uploads } from "./uploads.js";
import { urlForm } from "./url.js";

export function openAdd() {
  const files = h("input.visually-hidden", { type: "file", multiple: true, tabindex: -1, "aria-hidden": "true" });
  const form = urlForm(() => dialog.close());
  files.addEventListener("change", () => {
    uploads.add([...files.files]);
    dialog.close();
  });
  const dialog = openDialog({
    title: "Add to the library",
    content: [
      h("button.pick", { type: "button", autofocus: true, onclick: () => files.click() },
        icon("upload"), h("span", {}, "Choose files"), h("span.pick-hint", {}, "or drop them anywhere on this page")),
      files,
      h("p.or", {}, "or"),
      form,
    ],
  });
}

/** @type {{element: HTMLElement, onFiles: (files: File[]) => void, paste: boolean}[]} */
const targets = [];

export function dropTarget(element, onFiles, { signal, paste = false }) {
  const target = { element, onFiles, paste };
  targets.push(target);
  signal.addEventListener("abort", () => targets.splice(targets.indexOf(target), 1));
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const blocked = () => document.querySelector("dialog:modal") !== null;
const over = (event) => targets.find(({ element }) => event.target instanceof Node && element.contains(event.target));

export function acceptDrops() {
  const veil = $("drop");
  let depth = 0;
  const mark = (target) => targets.forEach((one) => one.element.classList.toggle("dropping", one === target));
  const end = () => {
    depth = 0;
    veil.hidden = true;
    mark(null);
  };
  addEventListener("dragenter", (event) => {
    if (hasFiles(event) && !blocked()) depth += 1;
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
    mark(over(event));
    veil.hidden = Boolean(over(event));
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    end();
    if (blocked()) return;
    const files = [...event.dataTransfer.files];
    const target = over(event);
    if (target) target.onFiles(files);
    else uploads.add(files);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || blocked()) return;
    event.preventDefault();
    const images = files.filter((one) => one.type.startsWith("image/"));
    const target = images.length ? targets.find((one) => one.paste) : null;
    if (target) target.onFiles(images);
    else uploads.add(files);
  });
}
