/** Steers a media element: play, seek, frames, sound, speed, loop, picture in picture, full screen. */

import { h, icon, memory, setText } from "../dom.js";
import { timecode } from "../format.js";
import { toast } from "../notice.js";

const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];
// Full screen, and nobody moves: the controls get out of the way.
const IDLE = 2500;

export class Controls {
  #end = new AbortController();
  #drawing = 0;
  #idle = 0;
  #dragging = false;

  /**
   * @param {HTMLMediaElement} media
   * @param {object} asset
   * @param {HTMLElement} stage what fills the screen
   */
  constructor(media, asset, stage) {
    Object.assign(this, { media, stage, fps: asset.fps || 24, length: asset.duration ?? 0 });
    const video = asset.kind === "video";
    const button = (name, label, key, onclick) =>
      h("button.control", { type: "button", "data-control": name, "aria-label": label, title: key ? `${label} (${key})` : label, onclick }, icon(name));
    this.play = button("play", "Play", "K", () => this.toggle());
    this.seek = h("input.seek", { type: "range", "data-control": "seek", min: 0, max: this.length || 1, step: "any", value: 0, "aria-label": "Position", oninput: () => this.to(Number(this.seek.value)) });
    this.time = h("span.time");
    this.sound = button("sound", "Mute", "M", () => this.mute());
    this.volume = h("input.volume", { type: "range", "data-control": "volume", min: 0, max: 1, step: 0.05, "aria-label": "Volume", oninput: () => this.loud(Number(this.volume.value)) });
    this.speed = h("select.speed", { "data-control": "speed", "aria-label": "Speed", title: "Speed (< and >)", onchange: () => this.pace(Number(this.speed.value)) },
      ...SPEEDS.map((value) => h("option", { value, selected: value === 1 }, `${value}×`)));
    this.again = button("loop", "Loop", "R", () => this.loop());
    this.apart = video && document.pictureInPictureEnabled && button("pip", "Picture in picture", "P", () => this.float());
    const full = video && button("full", "Full screen", "F", () => this.fill());
    this.element = h("div.controls", { role: "group", "aria-label": "Player" },
      this.seek,
      h("div.control-row", {},
        this.play,
        video && button("back-frame", "One frame back", ",", () => this.step(-1)),
        video && button("on-frame", "One frame on", ".", () => this.step(1)),
        this.time, h("span.space"), this.sound, this.volume, this.speed, this.again, this.apart, full));
    this.#listen(video);
    media.volume = memory.get("volume", 1);
    media.muted = memory.get("muted", false);
    this.#show();
  }

  end() {
    this.#end.abort();
    cancelAnimationFrame(this.#drawing);
    clearTimeout(this.#idle);
  }

  get duration() {
    return Number.isFinite(this.media.duration) ? this.media.duration : this.length;
  }

  toggle() {
    if (this.media.paused) this.media.play().catch(() => {});
    else this.media.pause();
  }

  to(time) {
    this.media.currentTime = Math.max(0, Math.min(time, this.duration || 0));
    this.#show();
  }

  by(seconds) {
    this.to(this.media.currentTime + seconds);
  }

  /** To the frame before, or after: what is shown stands still then. */
  step(frames) {
    this.media.pause();
    const frame = Math.floor(this.media.currentTime * this.fps + 0.01);
    const last = Math.max(0, Math.ceil(this.duration * this.fps) - 1);
    this.to((Math.max(0, Math.min(frame + frames, last)) + 0.001) / this.fps);
  }

  mute() {
    this.media.muted = !this.media.muted;
    if (!this.media.muted && !this.media.volume) this.media.volume = 0.5;
  }

  loud(volume) {
    this.media.volume = volume;
    this.media.muted = volume === 0;
  }

  pace(rate) {
    this.media.playbackRate = rate;
  }

  /** The next faster speed, or slower one. */
  shift(step) {
    const at = SPEEDS.indexOf(this.media.playbackRate);
    this.pace(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, (at < 0 ? 3 : at) + step))]);
  }

  loop() {
    this.media.loop = !this.media.loop;
    this.#show();
  }

  async float() {
    if (this.media.tagName !== "VIDEO") return;
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.media.requestPictureInPicture();
    } catch {
      toast("This browser does not show this video in a window of its own.");
    }
  }

  fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.stage.requestFullscreen) this.stage.requestFullscreen().catch(() => {});
    // An iPhone fills the screen with the video alone.
    else this.media.webkitEnterFullscreen?.();
  }

  #listen(video) {
    const { signal } = this.#end;
    const show = () => this.#show();
    for (const name of ["play", "pause", "ended", "seeked", "timeupdate", "durationchange", "volumechange", "ratechange", "progress", "waiting", "playing", "enterpictureinpicture", "leavepictureinpicture"]) {
      this.media.addEventListener(name, show, { signal });
    }
    this.media.addEventListener("play", () => this.#follow(), { signal });
    this.media.addEventListener("volumechange", () => {
      memory.set("volume", this.media.volume);
      memory.set("muted", this.media.muted || null);
    }, { signal });
    this.seek.addEventListener("pointerdown", () => (this.#dragging = true), { signal });
    addEventListener("pointerup", () => (this.#dragging = false), { signal });
    if (!video) return;
    this.media.addEventListener("click", () => this.toggle(), { signal });
    this.media.addEventListener("dblclick", () => this.fill(), { signal });
    for (const name of ["pointermove", "keydown", "focusin"]) this.stage.addEventListener(name, () => this.#wake(), { signal });
  }

  /** While it plays the hand moves with every frame of the screen. */
  #follow() {
    cancelAnimationFrame(this.#drawing);
    if (this.media.paused || this.#end.signal.aborted) return;
    this.#move();
    this.#drawing = requestAnimationFrame(() => this.#follow());
  }

  #move() {
    const { duration, media, seek } = this;
    if (!this.#dragging) seek.value = String(media.currentTime);
    seek.style.setProperty("--at", duration ? `${(100 * media.currentTime) / duration}%` : "0%");
    const words = `${timecode(Math.floor(media.currentTime))} / ${timecode(duration)}`;
    setText(this.time, words);
    if (seek.getAttribute("aria-valuetext") !== words) seek.setAttribute("aria-valuetext", words.replace("/", "of"));
  }

  #show() {
    const { media } = this;
    const going = !media.paused && !media.ended;
    label(this.play, going ? "Pause" : "Play", going ? "pause" : "play", "K");
    label(this.sound, media.muted ? "Unmute" : "Mute", media.muted || !media.volume ? "mute" : "sound", "M");
    this.again.setAttribute("aria-pressed", String(media.loop));
    if (this.apart) this.apart.setAttribute("aria-pressed", String(document.pictureInPictureElement === media));
    this.volume.value = String(media.muted ? 0 : media.volume);
    this.volume.style.setProperty("--at", `${100 * Number(this.volume.value)}%`);
    this.speed.value = String(media.playbackRate);
    this.seek.max = String(this.duration || 1);
    const { buffered } = media;
    const end = buffered.length ? buffered.end(buffered.length - 1) : 0;
    this.seek.style.setProperty("--loaded", this.duration ? `${(100 * end) / this.duration}%` : "0%");
    this.stage.classList.toggle("going", going);
    this.stage.classList.toggle("waiting", going && media.readyState < 3);
    this.#move();
  }

  #wake() {
    this.stage.classList.remove("idle");
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.stage.classList.toggle("idle", !this.media.paused), IDLE);
  }
}

function label(button, words, name, key) {
  if (button.getAttribute("aria-label") === words && button.dataset.icon === name) return;
  button.setAttribute("aria-label", words);
  button.title = `${words} (${key})`;
  button.dataset.icon = name;
  button.replaceChildren(icon(name));
}
