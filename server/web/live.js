/**
 * What goes on, as events: `jobs` (the latest jobs), `assets` (something in the library may have
 * changed), `offline` and `online`. Today it asks; tomorrow the server may tell (SSE): whoever
 * listens will not notice.
 */

import { get } from "./api.js";

const BUSY = 700;
const IDLE = 15_000;
const HIDDEN = 8_000;
const ACTIVE = new Set(["queued", "processing", "storing"]);

/** @param {{status: string}} job */
export const isActive = (job) => ACTIVE.has(job.status);

export class Live extends EventTarget {
  #timer = 0;
  #asking = false;
  #again = false;
  #failures = 0;
  #jobs = [];
  /** Says whether the library waits for something. */
  unsettled = () => false;

  start() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.poke();
      this.#tell("assets");
    });
    addEventListener("online", () => this.poke());
    this.poke();
  }

  /** Ask now: something was just begun. */
  poke() {
    clearTimeout(this.#timer);
    this.#ask();
  }

  /** Ask soon: something turned out to be on its way. */
  nudge() {
    if (this.#asking) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), this.#pause());
  }

  /** Show a job that another answer brought, without waiting for the next question. */
  put(job) {
    this.#jobs = [job, ...this.#jobs.filter((one) => one.id !== job.id)];
    this.#jobs.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    this.#tell("jobs", this.#jobs);
    this.poke();
  }

  async #ask() {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    try {
      const waited = this.unsettled();
      const page = await get("/jobs", { limit: 50 });
      // An answer to a question from before put() would hide what it brought.
      if (!this.#again) {
        this.#jobs = page.items;
        this.#tell("jobs", this.#jobs);
      }
      if (waited) this.#tell("assets");
      if (this.#failures) this.#tell("online");
      this.#failures = 0;
    } catch {
      this.#failures += 1;
      if (this.#failures === 2) this.#tell("offline");
    }
    this.#asking = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), this.#again ? 0 : this.#pause());
    this.#again = false;
  }

  #pause() {
    if (this.#failures) return Math.min(10_000, BUSY * 2 ** this.#failures);
    if (!this.#jobs.some(isActive) && !this.unsettled()) return IDLE;
    return document.hidden ? HIDDEN : BUSY;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
