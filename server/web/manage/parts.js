/**
 * What the sections of Manage share.
 *
 *   sectionHead(title, {current, words, actions})   ways to the sections, heading, what to do there
 *   formDialog({title, content, yes, save})  → Promise of what `save` answered, null if given up
 *   field(label, control, hint, beside)      a labelled control
 *   keyed(parent, make)                      → show(items): elements that stay while items do
 *   act(task)                                errors of a click as a toast
 *   tool(name, label, onclick)               an icon that is a button
 *   undoable(words, undo)                    a toast that can take back
 *   copyField(label, value)                  something to be copied
 *   bar(parts, whole)                        lengths beside each other; each says so in words, too
 *   count(2, "asset")
 */

import { copyText } from "../asset/clipboard.js";
import { openDialog } from "../dialog.js";
import { $, arrange, h, heading, icon, setText } from "../dom.js";
import { toast } from "../notice.js";
import { session } from "../state.js";

const SECTIONS = [
  ["manage", "Overview"], ["manage/projects", "Projects"], ["manage/trash", "Trash"], ["manage/usage", "Usage"],
  ["manage/keys", "API keys"], ["manage/users", "Users"],
];
// So many seconds there is to take it back from here; the trash has it for longer.
const UNDO = 12;
let ids = 0;
let closeUndo = () => {};

/**
 * @param {string} title
 * @param {{current: string, words?: Node | string, actions?: Node[]}} options `current` is a section's address
 * @returns {Node[]}
 */
export function sectionHead(title, { current, words, actions = [] }) {
  const ways = SECTIONS.filter(([path]) => path !== "manage/users" || session.is_admin).map(([path, label]) =>
    h("a", { href: `#/${path}`, "aria-current": path === current ? "page" : null }, label));
  return [
    h("nav.ways", { "aria-label": "Manage" }, ...ways),
    h(actions.length > 1 ? "div.view-head.busy" : "div.view-head", {}, heading(title), ...actions),
    words && h("p.view-words", {}, words),
  ].filter(Boolean);
}

/** Asks for something, and stays until it is done or given up. */
export async function formDialog({ title, content, yes, save }) {
  let made = null;
  const error = h("p.form-error", { role: "alert" });
  const button = h("button.primary", { type: "submit" }, yes);
  const submit = async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    setText(error, "");
    try {
      made = await save();
      dialog.close("done");
    } catch (problem) {
      setText(error, problem.message);
    }
    button.removeAttribute("aria-disabled");
  };
  const form = h("form", { onsubmit: submit },
    ...content, error,
    h("div.buttons", {}, h("button.secondary", { type: "button", onclick: () => dialog.close("") }, "Cancel"), button));
  const dialog = openDialog({ title, content: [form] });
  await dialog.closed;
  return made;
}

/** A label above its control, with what stands beside it; the hint is read with it. */
export function field(label, control, hint, beside) {
  const id = `field-${++ids}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return h("div.field", {}, h("label", { for: id }, label), beside ? h("div.inline-fields", {}, control, beside) : control, hint && h("p.hint", { id: `${id}-hint` }, hint));
}

/** Asks for a name; null if given up. @param {(name: string) => Promise<unknown>} save */
export function askName({ title, label = "Name", value = "", yes = "Save", save }) {
  const input = h("input", { name: "name", value, required: true, maxlength: 200, autocomplete: "off" });
  queueMicrotask(() => input.select());
  return formDialog({ title, yes, content: [field(label, input)], save: () => save(input.value.trim()) });
}

/**
 * Elements for items, which stay the same while an item is there: focus and playback survive.
 * What had the focus and is gone leaves it to its neighbour.
 * @param {HTMLElement} parent
 * @param {(item: object) => {element: HTMLElement, update: (item: object) => void}} make
 */
export function keyed(parent, make) {
  let known = new Map();
  return (items) => {
    const active = document.activeElement;
    const at = [...known.values()].findIndex((one) => one.element.contains(active));
    const next = new Map();
    for (const item of items) {
      const one = known.get(item.id) ?? make(item);
      one.update(item);
      next.set(item.id, one);
    }
    known = next;
    const elements = [...known.values()].map((one) => one.element);
    arrange(parent, elements);
    if (at < 0 || document.activeElement === active) return;
    const near = elements[Math.min(at, elements.length - 1)];
    const target = parent.contains(active) ? active : (near?.querySelector("a[href], button, input") ?? $("view").querySelector("h1"));
    target?.focus();
  };
}

/** Does what was asked for; what goes wrong is told. Whether it went well. */
export async function act(task) {
  try {
    await task();
    return true;
  } catch (error) {
    toast(error.message, { bad: true });
    return false;
  }
}

export const tool = (name, label, onclick) =>
  h("button.icon-button", { type: "button", "aria-label": label, title: label, onclick }, icon(name));

/** Says what was done, with a way back; the latest one only. */
export function undoable(words, undo) {
  closeUndo();
  closeUndo = toast(words, { action: "Undo", onAction: () => act(undo), seconds: UNDO });
}

/** Something that cannot be read again, or is long: shown, selected, copied. */
export function copyField(label, value) {
  const input = h("input.mono", { value, readonly: true, onfocus: () => input.select() });
  const said = h("p.hint", { role: "status" });
  const copy = async () => setText(said, (await copyText(input.value)) ? "Copied." : "Copy it from the field.");
  const labelled = field(label, input, null, h("button.secondary", { type: "button", onclick: copy }, "Copy"));
  labelled.append(said);
  return labelled;
}

/**
 * A bar; what it means stands beside it in words.
 * @param {{size: number, tone: string}[]} parts tone: "used", "trash", "rest", "reserve", "full"
 * @param {number} whole
 */
export function bar(parts, whole) {
  return h("div.meter", { "aria-hidden": "true" },
    ...parts.filter((one) => one.size > 0).map(({ size, tone }) => {
      const part = h("span", { "data-tone": tone });
      part.style.setProperty("--part", String(Math.min(1, size / Math.max(1, whole))));
      return part;
    }));
}

export const count = (many, noun) => `${many.toLocaleString()} ${noun}${many === 1 ? "" : "s"}`;
