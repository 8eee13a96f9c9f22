/**
 * "In progress": the cards of uploads and of jobs that run, or that failed and wait for a word.
 * One element, which the view that is shown puts where it wants it:
 *
 *   placeProgress(parent)   moves it there
 *   showJob(job)            shows a job that an answer brought, and scrolls to its card
 */

import { uploads } from "../add/uploads.js";
import { arrange, h } from "../dom.js";
import { live } from "../live.js";
import { retitle } from "../router.js";
import { JobCards } from "./cards.js";

const title = h("h2.section-title", { id: "progress-title" }, "In progress");
const cards = h("ul.grid", { id: "cards" });
const section = h("section.progress", { id: "progress-section", "aria-labelledby": "progress-title", hidden: true }, title, cards);
const jobs = new JobCards(live, { onChange: show });
uploads.addEventListener("change", show);

export function placeProgress(parent) {
  parent.append(section);
}

export function showJob(job) {
  live.put(job);
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.querySelector(`[data-job="${job.id}"]`)?.scrollIntoView({ block: "nearest", behavior: smooth ? "smooth" : "auto" });
}

function show() {
  const all = [...uploads.elements, ...jobs.elements];
  section.hidden = all.length === 0;
  title.textContent = all.every((card) => card.dataset.status === "failed") ? "Not finished" : "In progress";
  arrange(cards, all);
  retitle({ share: jobs.share });
}
