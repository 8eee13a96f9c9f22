/** The jobs: what runs, what failed and why, what can be tried again. */

import { h, heading } from "../dom.js";
import { isActive, live } from "../live.js";
import { placeProgress } from "./progress.js";

export function mount(root, { signal }) {
  const progress = h("div");
  const none = h("p.view-words", {}, "Nothing is being made now. ", h("a", { href: "#/generate" }, "Generate a shot"), ".");
  root.append(h("div.view-head", {}, heading("Jobs")), none, progress);
  placeProgress(progress);
  const show = () => {
    none.hidden = live.jobs.some(isActive);
  };
  live.addEventListener("jobs", show, { signal });
  show();
}
