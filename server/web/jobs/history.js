/**
 * The jobs that the view lists: loaded page by page, newest first, kept as they change.
 *
 *   jobHistory.jobs, filter, hasMore      open(filter), more()     event `change`
 *
 * A job that is shown stays until others are asked for, so that a click makes nothing vanish.
 */

import { get } from "../api.js";
import { isActive, live } from "../live.js";

const PAGE = 20;
const QUERIES = { all: {}, active: { active: true }, failed: { status: "failed", dismissed: false } };
const FITS = { all: () => true, active: isActive, failed: (job) => job.status === "failed" && !job.dismissed_at };

class History extends EventTarget {
  filter = "all";
  jobs = [];
  error = "";
  loaded = false;
  #cursor = null;
  #turn = 0;
  #loading = false;

  constructor() {
    super();
    live.addEventListener("jobs", ({ detail }) => this.#hear(detail));
    live.addEventListener("reload", () => this.loaded && this.open(this.filter));
  }

  get hasMore() {
    return Boolean(this.#cursor);
  }

  /** From the start. */
  async open(filter) {
    const again = filter === this.filter;
    this.filter = filter;
    const turn = ++this.#turn;
    this.#loading = true;
    const page = await this.#page(null);
    if (turn !== this.#turn) return;
    this.#loading = false;
    if (page) {
      const last = page.items.at(-1);
      const fresh = new Set(page.items.map((job) => job.id));
      // What was loaded beyond the first page stays.
      const older = again && page.next_cursor ? this.jobs.filter((job) => job.created_at <= last.created_at && !fresh.has(job.id)) : [];
      if (!older.length) this.#cursor = page.next_cursor;
      this.jobs = [...page.items, ...older];
      this.loaded = true;
    }
    this.#changed();
  }

  /** The next page. */
  async more() {
    if (!this.#cursor || this.#loading) return;
    this.#loading = true;
    const turn = this.#turn;
    const page = await this.#page(this.#cursor);
    if (turn !== this.#turn) return;
    this.#loading = false;
    if (page) {
      const known = new Set(this.jobs.map((job) => job.id));
      this.jobs.push(...page.items.filter((job) => !known.has(job.id)));
      this.#cursor = page.next_cursor;
    }
    this.#changed();
  }

  async #page(cursor) {
    try {
      this.error = "";
      return await get("/jobs", { ...QUERIES[this.filter], cursor, limit: PAGE });
    } catch (error) {
      this.error = error.message;
      return null;
    }
  }

  #hear(latest) {
    if (!this.loaded) return;
    const now = new Map(latest.map((job) => [job.id, job]));
    const known = new Set(this.jobs.map((job) => job.id));
    const oldest = this.#cursor ? (this.jobs.at(-1)?.created_at ?? "") : "";
    const fresh = latest.filter((job) => !known.has(job.id) && FITS[this.filter](job) && job.created_at > oldest);
    this.jobs = [...fresh, ...this.jobs.map((job) => now.get(job.id) ?? job)].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const jobHistory = new History();
