/**
 * "In progress": the cards of uploads and of jobs that run, or that failed and wait for a word.
 * One element, which the view that is shown puts where it wants it:
 *
 *   placeProgress(parent, {done})   moves it there; done: with jobs that are just done
 *   placeUploads(parent)            the uploads alone, where the jobs are shown otherwise
 *   showJob(job)                    shows a job that an answer brought, and scrolls to its card
 */

import { uploads } from "../add/uploads.js";
import { arrange, h } from "../dom.js";
import { live } from "../live.js";
import { retitle } from "../router.js";
import { JobCards } from "./cards.js";

const ENDED = new Set(["completed", "failed", "canceled"]);

const title = h("h2.section-title", { id: "progress-title" }, "In progress");
const cards = h("ul.grid.cards", { id: "cards" });
const section = h("section.progress", { id: "progress-section", "aria-labelledby": "progress-title", hidden: true }, title, cards);
const jobs = new JobCards(live, { onChange: show });
let uploadsOnly = false;
uploads.addEventListener("change", show);
jobs.withDone = false;

export function placeProgress(parent, { done = false } = {}) {
  uploadsOnly = false;
  parent.append(section);
  jobs.withDone = done;
}

export function placeUploads(parent) {
  uploadsOnly = true;
  parent.append(section);
  show();
}

export function showJob(job) {
  live.put(job);
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  document.querySelector(`[data-job="${job.id}"]`)?.scrollIntoView({ block: "nearest", behavior: smooth ? "smooth" : "auto" });
}

function show() {
  const all = [...uploads.elements, ...(uploadsOnly ? [] : jobs.elements)];
  section.hidden = all.length === 0;
  title.textContent = wordsFor(all.map((card) => card.dataset.status));
  arrange(cards, all);
  retitle({ share: jobs.share });
}

function wordsFor(statuses) {
  if (uploadsOnly) return "Uploads";
  const [failed, made] = [statuses.includes("failed"), statuses.includes("completed")];
  if (!statuses.every((one) => ENDED.has(one))) return "In progress";
  if (failed) return made ? "Lately" : "Not finished";
  return made ? "Just made" : "In progress";
}
