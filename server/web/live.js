/**
 * What goes on, as events of the one `live`:
 *
 *   jobs       detail: the latest jobs, newest first (also as `live.jobs`)
 *   assets     detail: {changed: ids, gone: ids}; gone: deleted, or in the trash
 *   projects   detail: {changed, gone}            scenes   detail: {changed, gone, projects: ids}
 *   reload     lists may be stale: load them again (told at the start, too)
 *   offline, online
 *
 * Views listen with their visit's signal: live.addEventListener("jobs", heard, { signal }).
 * The server tells it over one connection, which recovers by itself; while that cannot be had the
 * page asks now and then instead. `put(job)` shows a job that an answer brought; `poke()` asks now.
 */

import { get, signInAgain } from "./api.js";
import { gather } from "./gather.js";

const LATEST = 50;
// Changes come in bursts: what is told is fetched after so long, once.
const GATHER = 150;
// Without a word from the server for so long, the lists are loaded all the same.
const FIRST = 500;
// A connection that is back sooner was hardly gone.
const PATIENCE = 2500;
const POLL = 10_000;
const REOPEN = [1000, 2000, 4000, 8000, 15_000];
// Browsers allow few connections to one server: a tab that nobody sees gives its own back.
const HIDDEN = 60_000;
const WATCH = 10_000;
// The server says something every 15 s. A network that drops a connection without a word, or a
// machine that slept, leaves one that only seems to be there.
const SILENT = 40_000;
// One that does not come about may be tried on a dead socket that the browser has kept.
const OPENING = 20_000;
const ACTIVE = new Set(["queued", "processing", "storing"]);

/** @param {{status: string}} job */
export const isActive = (job) => ACTIVE.has(job.status);

class Live extends EventTarget {
  /** @type {EventSource | null} */
  #source = null;
  #running = false;
  #closed = 0;
  #offline = false;
  #loading = false;
  #loadAgain = false;
  #fetching = false;
  #timers = {};
  #heard = 0;
  /** @type {Map<string, object>} */
  #jobs = new Map();
  #put = new Set();
  #stale = new Set();
  #changed = gather(GATHER, (noun, told) => this.#running && this.#tell(noun, told));

  /** The latest jobs, newest first. */
  get jobs() {
    return [...this.#jobs.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  }

  /** Follow, from now until `stop`. */
  start() {
    if (this.#running) return;
    this.#running = true;
    // Whether it is true is known when it is tried: a server on this machine is there all the same.
    for (const name of ["online", "offline"]) addEventListener(name, () => this.#open());
    document.addEventListener("visibilitychange", () => this.#seen());
    setInterval(() => this.#watch(), WATCH);
    this.#after("first", FIRST, () => this.#reload());
    this.#open();
  }

  /** Hear no more: signed out. */
  stop() {
    this.#running = false;
    this.#source?.close();
    this.#source = null;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  /** Ask for the latest jobs now. */
  poke() {
    this.#load();
  }

  /** Show a job that an answer brought, before the server tells of it. */
  put(job) {
    this.#put.add(job.id);
    this.#jobs.set(job.id, job);
    this.#tellJobs();
  }

  #open() {
    if (!this.#running) return;
    this.#source?.close();
    clearTimeout(this.#timers.open);
    const source = new EventSource("/api/v3/events");
    this.#source = source;
    this.#heard = Date.now();
    const on = (name, heard) =>
      source.addEventListener(name, (event) => {
        if (this.#source !== source) return;
        this.#heard = Date.now();
        heard(JSON.parse(event.data));
      });
    on("ping", () => {});
    // What happened before `hello` is not told: the lists have it.
    on("hello", () => this.#reload());
    on("reset", () => this.#reload());
    on("job", (data) => this.#jobChanged(data));
    on("clip", (data) => this.#clipChanged(data));
    on("asset", (data) => data.role !== "poster" && this.#changed("assets", data));
    on("project", (data) => this.#changed("projects", data));
    on("scene", (data) => this.#changed("scenes", data));
    source.onopen = () => this.#up();
    source.onerror = () => this.#source === source && this.#down(source);
  }

  #up() {
    this.#closed = 0;
    clearTimeout(this.#timers.lost);
    this.#timers.lost = 0;
    clearTimeout(this.#timers.poll);
    if (this.#offline) {
      this.#back();
      this.#reload();
    }
  }

  #down(source) {
    this.#losing();
    if (source.readyState === EventSource.CLOSED) this.#refused();
    else this.#ended(source);
  }

  /** The browser tries again by itself, after a moment: in vain when the session has ended. */
  async #ended(source) {
    const known = await get("/session").catch(() => true);
    if (known || this.#source !== source) return;
    source.close();
    this.#refused();
  }

  /** An answer that was no stream: the session has ended, or something is in between. */
  async #refused() {
    let wait = REOPEN[Math.min(this.#closed, REOPEN.length - 1)];
    this.#closed += 1;
    try {
      // Asks to sign in when that is what is needed: nobody is signed in any more.
      if (!(await get("/session"))) {
        // This is no lost connection.
        clearTimeout(this.#timers.lost);
        this.#timers.lost = 0;
        await signInAgain();
      }
      if (this.#closed === 1) wait = 0;
    } catch {
      // Unreachable: opened again later.
    }
    this.#after("open", wait, () => this.#open());
  }

  #losing() {
    if (!this.#offline) this.#timers.lost ||= setTimeout(() => this.#lost(), PATIENCE);
  }

  #lost() {
    this.#timers.lost = 0;
    this.#offline = true;
    this.#tell("offline");
    this.#poll();
  }

  #back() {
    this.#offline = false;
    this.#tell("online");
  }

  /** Slowly, while the server tells nothing. */
  async #poll() {
    if (!this.#running || !this.#offline) return;
    if (await this.#load()) this.#tell("reload");
    if (this.#offline) this.#after("poll", POLL, () => this.#poll());
  }

  #seen() {
    clearTimeout(this.#timers.hidden);
    if (!this.#running) return;
    if (!document.hidden) {
      if (this.#source) this.#watch();
      else this.#open();
      return;
    }
    this.#after("hidden", HIDDEN, () => {
      if ([...this.#jobs.values()].some(isActive)) return;
      this.#source?.close();
      this.#source = null;
    });
  }

  #watch() {
    // Of one that was closed by a refusal others take care: a timer, or who is asked to sign in.
    if (!this.#source || this.#source.readyState === EventSource.CLOSED || document.hidden) return;
    if (Date.now() - this.#heard < (this.#source.readyState === EventSource.OPEN ? SILENT : OPENING)) return;
    this.#losing();
    this.#open();
  }

  #reload() {
    clearTimeout(this.#timers.first);
    this.#load();
    this.#tell("reload");
  }

  /** The latest jobs; whether they could be had. */
  async #load() {
    if (this.#loading) {
      this.#loadAgain = true;
      return true;
    }
    this.#loading = true;
    let had = false;
    do {
      this.#loadAgain = false;
      this.#put.clear();
      try {
        const page = await get("/jobs", { limit: LATEST });
        // What was put meanwhile is newer than this answer.
        const kept = [...this.#put].map((id) => [id, this.#jobs.get(id)]);
        this.#jobs = new Map([...page.items.map((job) => [job.id, job]), ...kept]);
        this.#tellJobs();
        had = true;
      } catch {
        had = false;
      }
    } while (this.#loadAgain);
    this.#loading = false;
    return had;
  }

  #jobChanged(data) {
    const job = this.#jobs.get(data.id);
    if (job?.kind === "download" && job.status === data.status) {
      this.#jobs.set(job.id, { ...job, progress: data.progress ?? job.progress, speed: data.speed, eta: data.eta });
      this.#put.add(job.id);
      this.#tellSoon();
    } else {
      this.#fetchJob(data.id);
    }
  }

  #clipChanged({ job_id: id, index, ...data }) {
    const job = this.#jobs.get(id);
    const before = job?.clips[index];
    if (!before) return this.#fetchJob(id);
    const clips = job.clips.with(index, { ...before, ...data });
    const progress = (0.99 * clips.reduce((sum, clip) => sum + clip.progress, 0)) / clips.length;
    this.#jobs.set(id, { ...job, clips, progress: isActive(job) ? progress : job.progress });
    this.#put.add(id);
    this.#tellSoon();
    if (before.status !== data.status || before.asset_id !== data.asset_id) this.#fetchJob(id);
    return undefined;
  }

  #fetchJob(id) {
    this.#stale.add(id);
    this.#timers.fetch ||= setTimeout(() => {
      this.#timers.fetch = 0;
      this.#fetchStale();
    }, GATHER);
  }

  async #fetchStale() {
    if (this.#fetching) return;
    this.#fetching = true;
    while (this.#stale.size && this.#running) {
      const ids = [...this.#stale];
      this.#stale.clear();
      // Many at once are quicker as a list.
      if (ids.length > 8) await this.#load();
      else await Promise.all(ids.map((id) => this.#fetchOne(id)));
    }
    this.#fetching = false;
  }

  async #fetchOne(id) {
    try {
      this.put(await get(`/jobs/${id}`));
    } catch (error) {
      if (error.status === 404 && this.#jobs.delete(id)) this.#tellJobs();
    }
  }

  #tellSoon() {
    this.#timers.tell ||= setTimeout(() => {
      this.#timers.tell = 0;
      this.#tellJobs();
    }, GATHER);
  }

  #tellJobs() {
    this.#tell("jobs", this.jobs);
  }

  #after(name, wait, callback) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(callback, wait);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const live = new Live();
