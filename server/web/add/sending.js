/**
 * One file on its way in, by the tus protocol: it can be paused, goes on by itself when the
 * connection is back, and after a reload from where it was.
 *
 *   state    waiting, uploading, storing, paused, offline, failed, lost (the file has to be chosen
 *            again), done, canceled         sent, size, speed, words (why it failed), url, safe
 *   start(), pause(), cancel()              event `change`
 */

import { signInAgain } from "../api.js";
import { live } from "../live.js";
import { kept } from "./kept.js";

const ENDPOINT = "/api/v3/uploads";
const CHUNK = 8 * 1024 * 1024;
const WAITS = [1000, 2000, 4000, 8000, 15_000];
// No answer, another request in between, and what passes by itself.
const PASSING = new Set([0, 408, 409, 423, 429, 500, 502, 503, 504]);
const GONE = new Set([404, 410]);
// The speed is that of the last seconds.
const WINDOW = 4000;

/** The uploader, loaded when there is something to be sent. */
const load = () => import("../vendor/tus.js");

export { load };

/** By what a file is known again. */
export const fingerprint = (file) => `${file.name}-${file.size}-${file.lastModified}`;

/** The path of an upload's URL, by which it is known. */
export const pathOf = (url) => new URL(url, location.href).pathname;

export class Sending extends EventTarget {
  state = "waiting";
  words = "";
  sent = 0;
  speed = 0;
  url = "";
  /** Whether the browser keeps the file, so that a reload does no harm. */
  safe = false;
  #tus = null;
  #release = () => {};
  #tries = 0;
  #refusals = 0;
  #timer = 0;
  #samples = [];
  #previous;
  #online = () => this.state === "offline" && this.start();

  /**
   * @param {{file: File | null, name: string, size: number, place?: {project_id?: string, scene_id?: string},
   *   previous?: object, sent?: number}} given `previous`: what is remembered of its upload, which
   *   stays paused if it was
   */
  constructor({ file, name, size, place = {}, previous = null, sent = 0 }) {
    super();
    Object.assign(this, { file, name, size, place, sent });
    this.#previous = previous;
    if (previous) this.url = pathOf(previous.uploadUrl);
    if (!file) this.state = "lost";
    else if (previous) {
      this.safe = true;
      if (kept.isPaused(this.url)) this.state = "paused";
      this.#hold();
    }
  }

  /** Whether this is the file that a lost one has to go on with. */
  isOf(file) {
    return this.state === "lost" && this.#previous.urlStorageKey.startsWith(`tus::${fingerprint(file)}::`);
  }

  /** The file was chosen again. */
  found(file) {
    this.file = file;
    this.#be("waiting");
  }

  /** @param {Set<string>} taken the URLs of others, with which this one must not go on */
  async start(taken = new Set()) {
    clearTimeout(this.#timer);
    this.words = "";
    this.#samples = [];
    if (this.url) kept.pause(this.url, false);
    this.#be("uploading");
    addEventListener("online", this.#online);
    live.addEventListener("online", this.#online);
    try {
      if (!this.#tus) {
        const tus = this.#make(await load());
        if (!this.#previous) {
          const known = await tus.findPreviousUploads();
          this.#previous = known.filter((one) => !taken.has(pathOf(one.uploadUrl))).at(-1);
        }
        if (this.#previous) tus.resumeFromPreviousUpload(this.#previous);
        this.#tus = tus;
      }
      // Paused or canceled meanwhile.
      if (this.state === "uploading") this.#tus.start();
    } catch (error) {
      this.#fail(error.message);
    }
  }

  pause() {
    this.#be("paused");
    if (this.url) kept.pause(this.url, true);
    clearTimeout(this.#timer);
    this.#tus?.abort().catch(() => {});
  }

  /** Ends it, also at the server. */
  async cancel() {
    this.#end("canceled");
    if (this.#tus) await this.#tus.abort(true).catch(() => {});
    else if (this.#previous) await forget(this.#previous, true);
  }

  #make({ Upload }) {
    return new Upload(this.file, {
      endpoint: ENDPOINT,
      chunkSize: CHUNK,
      // When to try again is decided here, for as long as it takes.
      retryDelays: null,
      removeFingerprintOnSuccess: true,
      fingerprint: async (file) => fingerprint(file),
      metadata: { filename: this.name, filetype: this.file.type, ...this.place },
      onUploadUrlAvailable: () => this.#named(),
      onProgress: (sent) => this.#progress(sent),
      onError: (error) => this.#trouble(error),
      onSuccess: () => this.#end("done"),
    });
  }

  /** The server knows it: from here on it can be gone on with. */
  async #named() {
    this.url = pathOf(this.#tus.url);
    this.#hold();
    this.safe = await kept.put(this.url, this.file);
    // It was quicker than that.
    if (this.state === "done" || this.state === "canceled") kept.drop(this.url);
  }

  /** Other tabs leave it alone as long as this is held. */
  #hold() {
    this.#release();
    navigator.locks?.request(lockOf(this.url), () => new Promise((resolve) => (this.#release = resolve)));
  }

  #progress(sent) {
    if (this.state !== "uploading" && this.state !== "storing") return;
    const now = Date.now();
    if (sent > this.sent) this.#tries = this.#refusals = 0;
    this.sent = sent;
    this.#samples = [...this.#samples.filter(([at]) => now - at < WINDOW), [now, sent]];
    const [from, first] = this.#samples[0];
    this.speed = now - from > 300 ? ((sent - first) * 1000) / (now - from) : this.speed;
    this.#be(sent < this.size ? "uploading" : "storing");
  }

  async #trouble(error) {
    if (["paused", "canceled"].includes(this.state)) return;
    const status = error.originalResponse?.getStatus() ?? 0;
    if (status === 401 && this.#refusals < WAITS.length) {
      this.#refusals += 1;
      this.#be("offline");
      await signInAgain().catch(() => {});
      if (this.state === "offline") this.start();
    } else if (PASSING.has(status) || (GONE.has(status) && this.#tries === 0)) {
      const wait = WAITS[Math.min(this.#tries, WAITS.length - 1)];
      this.#tries += 1;
      this.words = status && !GONE.has(status) ? wordsOf(error) : "";
      this.#be("offline");
      this.#timer = setTimeout(this.#online, GONE.has(status) ? 0 : wait);
    } else {
      this.#fail(wordsOf(error));
    }
  }

  #fail(words) {
    this.words = words;
    this.#be("failed");
  }

  #end(state) {
    clearTimeout(this.#timer);
    removeEventListener("online", this.#online);
    live.removeEventListener("online", this.#online);
    this.#release();
    if (this.url) kept.drop(this.url);
    this.#be(state);
  }

  #be(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

const lockOf = (url) => `reelbase upload ${url}`;

/** Which uploads another tab is at. @returns {Promise<Set<string>>} paths */
export async function elsewhere() {
  const held = (await navigator.locks?.query())?.held ?? [];
  return new Set(held.map((one) => one.name.replace(lockOf(""), "")));
}

/** Forgets an upload, and has the server do so, too. */
export async function forget(entry, atServer = false) {
  const { Upload, defaultOptions } = await load();
  await defaultOptions.urlStorage.removeUpload(entry.urlStorageKey);
  await kept.drop(pathOf(entry.uploadUrl));
  if (atServer) await Upload.terminate(entry.uploadUrl).catch(() => {});
}

/** The server's own words, where there are any. */
function wordsOf(error) {
  try {
    return JSON.parse(error.originalResponse.getBody()).detail;
  } catch {
    return "The server did not take it. Try again.";
  }
}
