/**
 * The stage: one asset, large. It plays, or says why not and what helps.
 *
 *   stage.show(asset, {play})   another one; `play`: begin at once
 *   stage.update(asset)         the same one, as it is now
 *   stage.media                 the element that plays, or null
 *   stage.controls              what steers it (controls.js), or null
 */

import { downloadOf, local } from "../api.js";
import { $, h, icon } from "../dom.js";
import { title } from "../format.js";
import { saving } from "../saving.js";
import { Controls } from "./controls.js";
import { explain, troubleOf } from "./trouble.js";

const FIXES = {
  save: ["download", "Save now"],
  retry: ["retry", "Retry"],
  generate: ["generate", "Generate again"],
  download: ["download", "Download"],
  reload: ["retry", "Try again"],
  job: ["jobs", "Show the job"],
  trash: ["trash", "Look in the trash"],
};

export class Stage {
  element = h("div.stage", { id: "stage" });
  /** @type {HTMLMediaElement | null} */
  media = null;
  /** @type {Controls | null} */
  controls = null;
  #asset = null;
  #shown = "";
  /** Fresh URLs that did not help either. */
  #renewals = 0;

  /** @param {(name: string, asset: object) => void} fix what to do about trouble */
  constructor(fix, signal) {
    this.fix = fix;
    signal.addEventListener("abort", () => this.clear());
  }

  show(asset, { play = false } = {}) {
    this.#renewals = 0;
    this.#present(asset);
    if (play) this.media?.play().catch(() => {});
  }

  update(asset) {
    const key = this.#key(asset);
    const other = key !== this.#shown;
    this.#asset = asset;
    if (other) this.#present(asset);
    else if (this.media?.poster === "" && asset.poster_url && asset.kind === "video") this.media.poster = local(asset.poster_url);
  }

  /** All links to it were revoked: what plays goes on by the new one. */
  renew(asset) {
    const [time, playing] = [this.media?.currentTime ?? 0, this.media && !this.media.paused];
    this.#present(asset);
    if (!this.media) return;
    this.media.addEventListener("loadedmetadata", () => (this.media.currentTime = time), { once: true });
    if (playing) this.media.play().catch(() => {});
  }

  clear() {
    this.controls?.end();
    if (this.media) {
      // Without this the browser goes on loading what nobody sees.
      this.media.pause();
      this.media.removeAttribute("src");
      this.media.load();
    }
    this.media = this.controls = null;
    this.element.replaceChildren();
  }

  /** What has to be shown otherwise when it changes. */
  #key(asset) {
    const trouble = troubleOf(asset);
    return [asset.id, asset.storage_state, trouble?.words, trouble && saving.isSaving(asset.id)].join(" ");
  }

  #present(asset) {
    this.#asset = asset;
    this.#shown = this.#key(asset);
    this.element.style.setProperty("--ratio", asset.width && asset.height ? `${asset.width} / ${asset.height}` : "16 / 9");
    const trouble = troubleOf(asset);
    if (trouble) this.#tell(trouble);
    else if (asset.kind === "image") this.#fill(() => this.element.append(this.#picture(asset)));
    else this.#fill(() => this.#play(asset));
  }

  /** Something else on it. Whoever had a control has the same one after it, or else the heading. */
  #fill(make) {
    const held = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.clear();
    make();
    if (!held) return;
    const same = this.element.querySelector(`[data-control="${held.dataset.control}"]`);
    (same ?? $("viewer-title")).focus({ preventScroll: true });
  }

  #picture(asset) {
    const picture = h("img", { src: local(asset.url), alt: asset.prompt ?? title(asset), onerror: () => this.#failed(asset, picture) });
    return picture;
  }

  #play(asset) {
    const video = asset.kind === "video";
    const thrifty = navigator.connection?.saveData;
    const media = h(asset.kind, {
      id: "media", "aria-label": title(asset), playsinline: true,
      // Poster first; and enough of it is there when somebody presses play, or seeks.
      poster: video && asset.poster_url && local(asset.poster_url),
      preload: thrifty || asset.storage_state !== "stored" ? "metadata" : "auto",
      onerror: () => media.getAttribute("src") && this.#failed(asset, media),
    });
    media.loop = video && asset.duration > 0 && asset.duration < 15;
    media.src = local(asset.url);
    this.media = media;
    this.controls = new Controls(media, asset, this.element);
    this.element.append(
      video ? h("div.screen", {}, media) : h("div.screen.sound", {}, icon("audio"), media),
      this.controls.element);
  }

  async #failed(asset, media) {
    const [time, playing] = [media.currentTime, !media.paused];
    const found = await explain(asset, media);
    // Somebody went on meanwhile.
    if (this.#asset.id !== asset.id || !media.isConnected) return;
    if (found.fresh && this.#renewals < 2) {
      this.#renewals += 1;
      this.#present(found.fresh);
      if (!this.media) return;
      this.media.currentTime = time || 0;
      if (playing) this.media.play().catch(() => {});
      return;
    }
    this.#tell(found.fresh ? { words: "It cannot be loaded, though it is stored.", fixes: ["reload", "download"] } : found);
  }

  #tell({ words, fixes, calm = false }) {
    const asset = this.#asset;
    const buttons = fixes.map((name, index) => {
      const [sign, label] = FIXES[name];
      const look = index ? "secondary" : "primary";
      if (name === "download") return h(`a.${look}`, { href: downloadOf(asset), download: asset.filename }, icon(sign), label);
      const busy = name === "save" && saving.isSaving(asset.id);
      const act = () => (name === "reload" ? this.show(this.#asset) : this.fix(name, this.#asset));
      return h(`button.${look}`, { type: "button", onclick: act, "aria-disabled": busy && "true" }, icon(sign), busy ? "Saving…" : label);
    });
    this.#fill(() => this.element.append(
      h("div.nothing", { role: calm ? "status" : "alert" },
        icon(calm ? (asset.kind === "other" ? "file" : "clock") : "warning"),
        h("p", {}, words),
        buttons.length > 0 && h("div.fixes", {}, ...buttons))));
  }
}
