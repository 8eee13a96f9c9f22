/**
 * Dialogs: native, modal, made when they are needed and thrown away when they are closed.
 *
 *   openDialog({title, content, wide, firm})   → {element, close(value), closed}
 *       content: nodes below the heading; a <form method="dialog"> closes it, with its button's
 *       value. `closed` resolves with that value, "" when it was escaped. The focus goes to the
 *       first [autofocus] or control, and afterwards back to where it was. `firm`: only what is in
 *       its content closes it, neither Escape nor going elsewhere: it shows what is shown once.
 *   confirm({title, words, content, yes, danger})   → Promise<boolean>
 *   closeDialogs()                             as if they were escaped
 */

import { h, icon } from "./dom.js";

let count = 0;
/** Those that are open, and may be closed from outside. @type {Set<HTMLDialogElement>} */
const open = new Set();

export function openDialog({ title, content, wide = false, firm = false }) {
  const id = `dialog-${++count}`;
  const element = h(wide ? "dialog.small.wide" : "dialog.small", { "aria-labelledby": id, closedby: firm && "none" },
    h("div.dialog-head", {},
      h("h2", { id }, title),
      !firm && h("button.icon-button", { type: "button", "aria-label": "Close", onclick: () => element.close("") }, icon("close"))),
    ...content);
  const closed = new Promise((resolve) => {
    element.addEventListener("close", () => {
      open.delete(element);
      resolve(element.returnValue);
      // The toasts move out first: see notice.js.
      setTimeout(() => element.remove());
    }, { once: true });
  });
  if (firm) {
    // Browsers that do not know `closedby`.
    element.addEventListener("cancel", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
  } else open.add(element);
  document.body.append(element);
  element.showModal();
  (element.querySelector("[autofocus]") ?? element.querySelector("input:not(.visually-hidden), select, textarea"))?.focus();
  return { element, close: (value = "") => element.close(value), closed };
}

export function closeDialogs() {
  for (const element of open) element.close("");
}

/**
 * Asks before something that is hard to take back.
 * @param {{title: string, words: string, content?: Node[], yes: string, no?: string, danger?: boolean}} question
 *   `content`: what is chosen along with it
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, words, content = [], yes, no = "Keep", danger = true }) {
  const { closed } = openDialog({
    title,
    content: [
      h("form", { method: "dialog" },
        h("p", {}, words),
        ...content,
        h("div.buttons", {},
          h("button.secondary", { value: "", autofocus: true }, no),
          h(danger ? "button.danger" : "button.primary", { value: "yes" }, yes))),
    ],
  });
  return (await closed) === "yes";
}
