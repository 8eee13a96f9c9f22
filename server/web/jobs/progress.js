/**
 * "In progress": the cards of uploads and of jobs that run, or that failed and wait for a word.
 * One element, which the view that is shown puts where it wants it:
 *
 *   placeProgress(parent, {studio})   moves it there; studio: where clips are asked for
 *   placeUploads(parent)              the uploads alone, where the jobs are shown otherwise
 *   showJob(job)                      shows a job that an answer brought, and scrolls to its card
 *
 * Above the library several that failed are one line: they leave room for what there is.
 */

import { uploads } from "../add/uploads.js";
import { post } from "../api.js";
import { arrange, h, setText } from "../dom.js";
import { live } from "../live.js";
import { toast } from "../notice.js";
import { retitle } from "../router.js";
import { JobCards } from "./cards.js";

const ENDED = new Set(["completed", "failed", "canceled"]);
// So many failures are shown one by one.
const FEW = 1;

const title = h("h2.section-title", { id: "progress-title" }, "In progress");
const count = h("span");
const unfold = h("button.quiet.strong", { type: "button", "aria-expanded": "false", "aria-controls": "cards", onclick: () => fold(!folded) }, "Show");
const failures = h("p.failures", { hidden: true }, count, unfold, h("button.quiet", { type: "button", onclick: dismissAll }, "Dismiss all"));
const cards = h("ul.grid.cards", { id: "cards" });
const section = h("section.progress", { id: "progress-section", "aria-labelledby": "progress-title", hidden: true }, h("div.progress-head", {}, title, failures), cards);
const jobs = new JobCards(live, { onChange: show });
let uploadsOnly = false;
let inStudio = false;
let folded = true;
uploads.addEventListener("change", show);
jobs.asStudio = false;

export function placeProgress(parent, { studio = false } = {}) {
  uploadsOnly = false;
  inStudio = studio;
  parent.append(section);
  jobs.asStudio = studio;
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
  const failed = uploadsOnly || inStudio ? [] : jobs.failed;
  const many = failed.length > FEW;
  const hidden = new Set(many && folded ? failed.map((one) => one.element) : []);
  const all = [...uploads.elements, ...(uploadsOnly ? [] : jobs.elements)].filter((card) => !hidden.has(card));
  // Those of several clips take whole rows: between the others they would leave gaps.
  all.sort((a, b) => a.classList.contains("many") - b.classList.contains("many"));
  section.hidden = all.length === 0 && !many;
  failures.hidden = !many;
  setText(count, `${failed.length} jobs failed.`);
  title.textContent = wordsFor(all.length ? all.map((card) => card.dataset.status) : ["failed"]);
  arrange(cards, all);
  retitle({ share: jobs.share });
}

function fold(yes) {
  folded = yes;
  setText(unfold, folded ? "Show" : "Hide");
  unfold.setAttribute("aria-expanded", String(!folded));
  show();
}

async function dismissAll() {
  try {
    for (const { job } of jobs.failed) live.put(await post(`/jobs/${job.id}/dismiss`));
    document.querySelector("#view h1")?.focus();
  } catch (error) {
    toast(error.message, { bad: true });
  }
}

function wordsFor(statuses) {
  if (uploadsOnly) return "Uploads";
  const [failed, made] = [statuses.includes("failed"), statuses.includes("completed")];
  if (!statuses.every((one) => ENDED.has(one))) return "In progress";
  if (failed) return made ? "Lately" : "Not finished";
  return made ? "Just made" : "In progress";
}
