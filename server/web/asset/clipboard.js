/** The clipboard: `await copyText("…")` says whether it worked. */

import { h } from "../dom.js";

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only https and localhost may write to the clipboard so; elsewhere the old way may do.
    const home = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
    const held = document.activeElement;
    const field = h("textarea.visually-hidden", { readonly: true }, text);
    home.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    held?.focus();
    return copied;
  }
}
