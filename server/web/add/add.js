/**
 * Adding, from everywhere:
 *
 *   openAdd(place)    the dialog: files of this device, or the address of something elsewhere;
 *                     place: {project, scene} to begin with, else what the library shows
 *   acceptDrops()     files dropped or pasted anywhere on the page are uploaded, to the project
 *                     that the library shows; those whose upload was cut off go on
 *   dropTarget(element, onFiles, {signal, paste})   but those dropped on this element go there;
 *                     paste: so do images that are pasted, when the focus is near
 */

import { $, h, icon, memory } from "../dom.js";
import { openDialog } from "../dialog.js";
import { here } from "../router.js";
import { may } from "../state.js";
import { placeFields, placeQuery } from "./place.js";
import { uploads } from "./uploads.js";
import { urlForm } from "./url.js";

const MAY_NOT = "This key may not add anything. Sign in with one that may.";

/** The project that the library shows, else the default one. */
function placeHere() {
  const [path, query] = here().split("?");
  const shown = new URLSearchParams(path === "/library" ? query : "");
  return { project: shown.get("project") ?? "", scene: shown.get("scene") ?? "" };
}
const placeNow = () => (placeHere().project ? placeHere() : memory.get("place", placeHere()));

export function openAdd(begin = placeNow()) {
  let place = begin;
  const ending = new AbortController();
  const choose = (chosen) => {
    place = chosen;
    memory.set("place", chosen);
  };
  const send = (list) => {
    if (!list.length) return;
    uploads.add(list, placeQuery(place));
    dialog.close();
  };
  const files = h("input.visually-hidden", { type: "file", multiple: true, tabindex: -1, "aria-hidden": "true", onchange: () => send([...files.files]) });
  const refused = !may("write");
  const pick = h("button.pick.add-pick", { type: "button", autofocus: true, "aria-disabled": refused && "true", "aria-describedby": refused && "add-may-not", onclick: () => refused || files.click() },
    icon("upload"), h("span", {}, "Choose files"), h("span.pick-hint", {}, "or drop them here, or paste"));
  const dialog = openDialog({
    title: "Add to the library",
    content: [
      refused && h("p", { id: "add-may-not" }, MAY_NOT),
      placeFields(place, { prefix: "add", signal: ending.signal, onChange: choose }),
      pick, files,
      h("p.or", {}, "or"),
      urlForm({ place: () => placeQuery(place), onDone: () => dialog.close(), refused: refused && MAY_NOT }),
    ].filter(Boolean),
  });
  // Without it what is dropped goes nowhere: see `blocked`.
  if (!refused) dropTarget(dialog.element, send, { signal: ending.signal, paste: true });
  dialog.closed.then(() => ending.abort());
}

/** @type {{element: HTMLElement, onFiles: (files: File[]) => void, paste: boolean}[]} */
const targets = [];

export function dropTarget(element, onFiles, { signal, paste = false }) {
  const target = { element, onFiles, paste };
  targets.push(target);
  signal.addEventListener("abort", () => targets.splice(targets.indexOf(target), 1));
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const dialogAbove = () => [...document.querySelectorAll("dialog:modal")].at(-1);
/** A dialog that takes no files has nothing dropped behind it. */
const blocked = (target) => {
  const dialog = dialogAbove();
  return dialog && !(target && dialog.contains(target.element));
};

/** The innermost that is there. */
const around = (node) =>
  targets.filter(({ element }) => node instanceof Node && element.contains(node)).reduce((outer, one) => (outer?.element.contains(one.element) ?? true ? one : outer), null);

/** Where an image goes that is pasted: what the focus is in, or near, else the first that shows. */
function nearest() {
  const fitting = targets.filter(({ element, paste }) => paste && element.isConnected && element.checkVisibility() && !blocked({ element }));
  for (let at = document.activeElement; at; at = at.parentElement) {
    const found = fitting.find(({ element }) => at.contains(element) || element.contains(at));
    if (found) return found;
  }
  return fitting[0];
}

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
    if (hasFiles(event)) depth += 1;
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) end();
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    const target = around(event.target);
    if (blocked(target)) return end();
    mark(target);
    veil.hidden = Boolean(target);
    return undefined;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    end();
    const target = around(event.target);
    if (blocked(target)) return;
    const files = [...event.dataTransfer.files];
    if (target) target.onFiles(files);
    else uploads.add(files, placeQuery(placeHere()));
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    const images = files.filter((one) => one.type.startsWith("image/"));
    const target = images.length ? nearest() : null;
    if (blocked(target)) return;
    event.preventDefault();
    if (target) target.onFiles(images);
    else uploads.add(files, placeQuery(placeHere()));
  });
  uploads.restore();
}
