/** The cards of jobs that run, or that failed and wait for somebody's word; and of those just done. */

import { get } from "../api.js";
import { beside } from "../dom.js";
import { isActive } from "../live.js";
import { announce } from "../notice.js";
import { saving } from "../saving.js";
import { jobCard } from "./card.js";
import { titleOf, wordsOf } from "./words.js";

// So many that have ended just now are shown.
const LATELY = 6;

export class JobCards {
  /** @type {Map<string, ReturnType<typeof jobCard>>} */
  #cards = new Map();
  /** @type {Map<string, string>} */
  #statuses = new Map();
  /** Those that ended while they were followed. @type {Set<string>} */
  #lately = new Set();
  #jobs = [];
  #asStudio = false;

  /**
   * @param {typeof import("../live.js").live} live
   * @param {{onChange: () => void}} heard
   */
  constructor(live, { onChange }) {
    this.live = live;
    this.onChange = onChange;
    // This may come after the first ones were told.
    this.#jobs = live.jobs;
    for (const { id, status } of this.#jobs) this.#statuses.set(id, status);
    live.addEventListener("jobs", (event) => this.#hear(event.detail));
    live.addEventListener("assets", ({ detail }) => this.#outputsChanged(detail));
    saving.addEventListener("change", ({ detail: id }) => {
      for (const card of this.#cards.values()) if (card.job.outputs.some((one) => one.id === id)) card.update(card.job);
    });
    setInterval(() => this.#cards.forEach((card) => card.tick()), 1000);
  }

  /** The elements to be shown, newest first. */
  get elements() {
    return [...this.#cards.values()].map((one) => one.element);
  }

  /** How far everything that runs is, from 0 to 1; null when nothing does. */
  get share() {
    const active = this.#jobs.filter(isActive);
    return active.length ? active.reduce((sum, job) => sum + job.progress, 0) / active.length : null;
  }

  /** As where clips are asked for: those that are just done too, and no downloads. */
  set asStudio(yes) {
    this.#asStudio = yes;
    this.#show();
  }

  /** Those that failed, and that nobody has dismissed. */
  get failed() {
    return [...this.#cards.values()].filter(({ job }) => job.status === "failed");
  }

  #hear(jobs) {
    this.#jobs = jobs;
    for (const job of jobs) this.#tell(job);
    this.#show();
  }

  #show() {
    const lately = this.#jobs.filter((job) => this.#lately.has(job.id) && !isActive(job)).slice(0, LATELY);
    const stays = (job) => job.status === "failed" || (lately.includes(job) && (this.#asStudio || job.status === "canceled"));
    const shown = this.#jobs.filter((job) => (isActive(job) || (!job.dismissed_at && stays(job))) && !(this.#asStudio && job.kind === "download"));
    const cards = new Map();
    for (const job of shown) {
      const one = this.#cards.get(job.id) ?? jobCard(job, { onDismiss: (element) => queueMicrotask(beside(element)) });
      if (one.job !== job) one.update(job);
      cards.set(job.id, one);
    }
    this.#cards = cards;
    this.onChange();
  }

  /** Tells what has become of a job since it was last seen. */
  #tell(job) {
    const before = this.#statuses.get(job.id);
    this.#statuses.set(job.id, job.status);
    if (before === job.status) return;
    // What is canceled by a slip can be tried again where it was.
    if (before !== undefined && ["completed", "canceled"].includes(job.status)) this.#lately.add(job.id);
    if (before !== undefined || isActive(job)) announce(`${wordsOf(job)[job.status]}: ${titleOf(job)}`);
  }

  /** A poster has come, or bytes were stored: the job tells it. */
  #outputsChanged({ changed }) {
    const ids = new Set(changed);
    for (const { job } of this.#cards.values()) {
      if (job.outputs.some((one) => ids.has(one.id))) get(`/jobs/${job.id}`).then((now) => this.live.put(now), () => {});
    }
  }
}
