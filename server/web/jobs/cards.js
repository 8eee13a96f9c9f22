/** A card per job that runs, or that failed and waits for somebody's word. */

import { post } from "../api.js";
import { arrange, h, icon, memory, setText } from "../dom.js";
import { bytes, timecode } from "../format.js";
import { leader } from "../frame.js";
import { isActive } from "../live.js";
import { announce, toast } from "../notice.js";

const WORDS = {
  queued: "Queued",
  submitting: "Sending to the model",
  processing: "Generating",
  storing: "Storing",
  completed: "Done",
  failed: "Failed",
  canceled: "Canceled",
};
const DOWNLOAD_WORDS = { ...WORDS, processing: "Downloading" };

export class JobCards {
  /** @type {Map<string, ReturnType<typeof card>>} */
  #cards = new Map();
  /** @type {Map<string, string>} */
  #statuses = new Map();
  #dismissed = new Set(memory.get("dismissed", []));
  #jobs = [];

  /**
   * @param {typeof import("../live.js").live} live
   * @param {{onChange: () => void}} heard
   */
  constructor(live, { onChange }) {
    this.live = live;
    this.onChange = onChange;
    live.addEventListener("jobs", (event) => this.#show(event.detail));
    setInterval(() => this.#tick(), 1000);
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

  #show(jobs) {
    this.#jobs = jobs;
    for (const job of jobs) this.#hear(job);
    const shown = jobs.filter((job) => this.#isShown(job));
    const cards = new Map();
    for (const job of shown) {
      const one = this.#cards.get(job.id) ?? card(job, this);
      one.update(job);
      cards.set(job.id, one);
    }
    this.#cards = cards;
    this.onChange();
  }

  #isShown(job) {
    if (isActive(job)) return true;
    return job.status === "failed" && !this.#dismissed.has(`${job.id} ${job.ended_at}`);
  }

  /** Tells what has become of a job since it was last seen. */
  #hear(job) {
    const before = this.#statuses.get(job.id);
    this.#statuses.set(job.id, job.status);
    if (before === job.status) return;
    if (before === undefined) {
      if (isActive(job)) announce(`${wordsOf(job)[job.status]}: ${promptOf(job)}`);
      return;
    }
    announce(`${wordsOf(job)[job.status]}: ${promptOf(job)}`);
  }

  /** @param {"cancel" | "retry"} what */
  async act(job, what) {
    try {
      this.live.put(await post(`/jobs/${job.id}/${what}`));
    } catch (error) {
      // It ended a moment before: the next answer shows how.
      if (error.code === "job_ended") this.live.poke();
      else toast(error.message, { bad: true });
    }
  }

  dismiss(job) {
    this.#dismissed.add(`${job.id} ${job.ended_at}`);
    memory.set("dismissed", [...this.#dismissed].slice(-200));
    this.#show(this.#jobs);
    // The button is gone: the focus goes on to the next card, or to where one begins anew.
    (document.querySelector("#cards button") ?? document.querySelector("#view h1"))?.focus();
  }

  #tick() {
    for (const job of this.#jobs) if (isActive(job)) this.#cards.get(job.id)?.tick(job);
  }
}

const wordsOf = (job) => (job.kind === "download" ? DOWNLOAD_WORDS : WORDS);

const promptOf = (job) =>
  job.clips[0]?.prompt ?? job.source_url?.replace(/^https?:\/\//, "") ?? job.outputs[0]?.filename ?? "Download";

/** What a prediction waits for, or how far its bytes are; and that it is not the first attempt. */
function clipWords(clip) {
  const { queue_position: place, bytes_stored: done, bytes_total: total } = clip;
  return [
    clip.status === "processing" && place != null && `${place} in the queue before it`,
    clip.status === "storing" && done && (total ? `${bytes(done)} of ${bytes(total)}` : bytes(done)),
    clip.attempts > 1 && `attempt ${clip.attempts}`,
  ].filter(Boolean).join(", ");
}

const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) : "");

const clipState = (clip) =>
  h("li", { "data-status": clip.status, title: clip.error_message },
    [WORDS[clip.status] ?? clip.status, clipWords(clip)].filter(Boolean).join(", "));

/** How fast a download comes and how long it takes; while it waits for another attempt, why. */
function rateOf(job) {
  if (job.status === "queued") return job.notes.at(-1) ?? "";
  const speed = job.speed ? `${bytes(job.speed)}/s` : "";
  const left = job.eta == null ? "" : `${timecode(job.eta)} left`;
  return [speed, left].filter(Boolean).join(", ");
}

function card(first, cards) {
  let job = first;
  const frame = leader(promptOf(job));
  const failed = h("div.frame.broken", {}, icon("close"));
  const status = h("span.status");
  const clock = h("span.counter", { "aria-hidden": "true" });
  const reason = h("p.reason");
  const rate = h("p.meta.rate");
  const clips = h("ol.clip-states");
  const notes = h("ul.notes");
  const cancel = h("button.quiet", { type: "button", onclick: () => act(cancel, "cancel") }, "Cancel");
  const retry = h("button.quiet.strong", { type: "button", onclick: () => act(retry, "retry") }, "Retry");
  const dismiss = h("button.quiet", { type: "button", onclick: () => cards.dismiss(job) }, "Dismiss");
  const body = h("div.card-body");
  const element = h(
    "li.tile.card",
    { "data-job": job.id },
    frame.element,
    body,
  );
  const name = h("p.name", { title: promptOf(job) }, promptOf(job));
  const buttons = h("div.card-buttons");
  body.append(h("p.meta", {}, status, clock), name, rate, clips, reason, notes, buttons);

  async function act(button, what) {
    button.disabled = true;
    await cards.act(job, what);
    button.disabled = false;
  }

  function tick(now) {
    setText(clock, timecode((Date.now() - new Date(now.created_at)) / 1000));
  }

  function update(next) {
    job = next;
    const active = isActive(job);
    const phase = job.clips.length === 1 && active ? job.clips[0].status : job.status;
    const words = wordsOf(job)[phase === "completed" ? job.status : phase] ?? job.status;
    element.dataset.status = job.status;
    setText(status, words);
    clock.hidden = !active;
    if (active) tick(job);
    frame.set(job.progress, words);
    arrange(element, [active ? frame.element : failed, body]);
    setText(reason, active ? "" : (job.error_message ?? "It failed without a word."));
    reason.hidden = active;
    const alone = job.clips.length === 1 ? clipWords(job.clips[0]) : "";
    setText(rate, job.kind === "download" ? (active ? rateOf(job) : "") : sentence(alone));
    rate.hidden = !rate.textContent;
    clips.hidden = job.clips.length < 2;
    clips.replaceChildren(
      ...(clips.hidden ? [] : job.clips.map((clip) => clipState(clip))),
    );
    // A download's notes are its attempts: while it waits for the next the line above has the last.
    const told = job.kind === "download" ? [] : job.notes;
    notes.hidden = told.length === 0;
    if (notes.children.length !== told.length) notes.replaceChildren(...told.map((note) => h("li", {}, note)));
    arrange(buttons, active ? [cancel] : [retry, dismiss]);
  }

  return { element, update, tick };
}
