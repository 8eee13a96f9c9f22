/** The trash: what was deleted, until it goes for good. */

import { h, heading } from "../dom.js";

export function mount(root) {
  root.append(h("div.view-head", {}, heading("Trash")));
}
