/** The screening room: one asset, large, with all that can be done to it. */

import { downloadOf, local, patch, post, remove } from "./api.js";
import { $, h, icon, setText } from "./dom.js";
import { bytes, isUnsaved, kindWord, moment, roleWord, stateBadge, timecode, title } from "./format.js";
import { confirm, toast } from "./notice.js";
import { share } from "./share.js";

export class Player {
  /** @type {object | null} */
  #asset = null;
  /** @type {HTMLMediaElement | null} */
  #media = null;

  /**
   * @param {import("./library.js").Library} library
   * @param {import("./generate.js").Generate} generate
   * @param {import("./saving.js").Saving} saving
   */
  constructor(library, generate, saving) {
    this.saving = saving;
    this.library = library;
    this.generate = generate;
    const dialog = $("viewer");
    $("viewer-close").addEventListener("click", () => dialog.close());
    $("previous").addEventListener("click", () => this.#go(-1));
    $("next").addEventListener("click", () => this.#go(1));
    dialog.addEventListener("keydown", (event) => this.#key(event));
    dialog.addEventListener("close", () => {
      const id = this.#asset?.id;
      this.#clear();
      this.#asset = null;
      this.library.focus(id);
    });
    $("rename-cancel").addEventListener("click", () => $("rename").close());
    $("rename-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#rename();
    });
  }

  /** @param {object} asset */
  open(asset) {
    this.#asset = asset;
    this.#clear();
    $("stage").style.setProperty("--ratio", asset.width && asset.height ? `${asset.width} / ${asset.height}` : "auto");
    $("stage").append(this.#picture(asset));
    this.update(asset);
    if (!$("viewer").open) $("viewer").showModal();
    (this.#media ?? $("viewer-title")).focus();
    $("side").scrollTop = 0;
  }

  /** Shows what is known by now about the asset that is open. */
  update(asset) {
    if (asset?.id !== this.#asset?.id) return;
    const before = this.#asset.storage_state;
    this.#asset = asset;
    // What could not be shown may be shown now.
    if (before !== asset.storage_state && $("stage").querySelector(".nothing")) {
      this.#clear();
      $("stage").append(this.#picture(asset));
    }
    const name = title(asset);
    setText($("viewer-title"), name);
    $("viewer-prompt").hidden = !asset.prompt || asset.prompt === name;
    setText($("viewer-prompt"), asset.prompt ?? "");
    if (this.#media) this.#media.setAttribute("aria-label", name);
    $("viewer-keys").hidden = asset.kind !== "video";
    // What can be done follows from the state, too.
    const state = `${asset.id} ${asset.storage_state} ${this.saving.isSaving(asset.id)}`;
    if ($("actions").dataset.asset !== state) {
      $("actions").dataset.asset = state;
      $("actions").replaceChildren(...this.#actions(asset));
    }
    $("facts").replaceChildren(...facts(asset));
    const index = this.#index();
    $("previous").disabled = index <= 0;
    $("next").disabled = index < 0 || index >= this.library.assets.length - 1;
  }

  /** @param {object[]} assets what the library shows now */
  follow(assets) {
    const now = assets.find((one) => one.id === this.#asset?.id);
    if (now) this.update(now);
  }

  #index() {
    return this.library.assets.findIndex((one) => one.id === this.#asset?.id);
  }

  #go(step) {
    const next = this.library.assets[this.#index() + step];
    if (next && this.#index() >= 0) this.open(next);
    if (this.#index() >= this.library.assets.length - 3) this.library.more();
  }

  #clear() {
    if (this.#media) {
      // Without this the browser goes on loading what nobody sees.
      this.#media.pause();
      this.#media.removeAttribute("src");
      this.#media.load();
      this.#media = null;
    }
    $("stage").replaceChildren();
    delete $("actions").dataset.asset;
  }

  #picture(asset) {
    const source = local(asset.url);
    const poster = asset.poster_url ? local(asset.poster_url) : null;
    const failed = (event) => {
      if (event.currentTarget.getAttribute("src")) this.#explain(source);
    };
    if (asset.kind === "video" || asset.kind === "audio") {
      this.#media = h(asset.kind, {
        src: source, poster: asset.kind === "video" && poster, controls: true, playsinline: true,
        preload: "metadata", onerror: failed,
      });
      this.#media.loop = asset.kind === "video" && asset.duration < 15;
      return asset.kind === "audio" ? h("div.sound", {}, icon("audio"), this.#media) : this.#media;
    }
    if (asset.kind === "image") return h("img", { src: source, alt: title(asset), onerror: failed });
    return h("div.nothing", {}, icon("file"), h("p", {}, "This kind of file cannot be shown. It can be downloaded."));
  }

  /** A source that does not play: say why, in the server's words where it has any. */
  async #explain(source) {
    let words = "This browser cannot play what is in this file. Download it to play it elsewhere.";
    try {
      const answer = await fetch(source, { headers: { Range: "bytes=0-0" } });
      if (!answer.ok) words = (await answer.json()).detail;
    } catch {
      words = "The file cannot be reached. Check the connection and open it again.";
    }
    if (!this.#asset || local(this.#asset.url) !== source) return;
    this.#clear();
    $("stage").append(h("div.nothing", { role: "alert" }, icon("close"), h("p", {}, words)));
  }

  #actions(asset) {
    const act = (name, words, onclick, { more = "", hint = null } = {}) =>
      h(`button.action${more}`, { type: "button", onclick, title: hint }, icon(name), h("span", {}, words));
    const there = ["stored", "url_only"].includes(asset.storage_state);
    return [
      isUnsaved(asset) && act("download", this.saving.isSaving(asset.id) ? "Saving…" : "Save now",
        () => this.saving.save([this.#asset])),
      there && h("a.action", { href: downloadOf(asset), download: asset.filename, target: isUnsaved(asset) && "_blank", rel: "noopener" },
        icon("download"), h("span", {}, "Download")),
      there && act("link", "Copy link", () => share(this.#asset)),
      asset.kind === "video" && asset.storage_state === "stored" &&
        act("frame", "Use this frame", () => this.#useFrame(),
          { hint: "The picture that is shown now becomes the first frame of the next shot" }),
      asset.kind === "image" && asset.storage_state === "stored" &&
        act("frame", "Use as first frame", () => this.#useImage()),
      asset.role === "download" && asset.storage_state === "failed" && asset.job_id &&
        act("download", "Try again", () => this.#retry()),
      act("pencil", "Rename", () => this.#askName()),
      act("trash", "Delete", () => this.#delete(), { more: ".grave" }),
    ].filter(Boolean);
  }

  /** Download again what could not be had. */
  async #retry() {
    try {
      const job = await post(`/jobs/${this.#asset.job_id}/retry`);
      $("viewer").close();
      this.generate.onJob(job);
      this.library.refresh();
    } catch (error) {
      toast(error.message, { bad: true });
    }
  }

  #askName() {
    $("rename-error").textContent = "";
    $("rename-name").value = this.#asset.filename;
    $("rename").showModal();
    const dot = this.#asset.filename.lastIndexOf(".");
    $("rename-name").setSelectionRange(0, dot > 0 ? dot : this.#asset.filename.length);
  }

  async #rename() {
    const filename = $("rename-name").value.trim();
    if (!filename) {
      $("rename-error").textContent = "Give it a name.";
      return;
    }
    try {
      const asset = await patch(`/assets/${this.#asset.id}`, { filename });
      $("rename").close();
      this.library.put(asset);
      toast(`Renamed to ${asset.filename}`);
    } catch (error) {
      $("rename-error").textContent = error.message;
    }
  }

  async #delete() {
    const asset = this.#asset;
    const size = asset.size ? ` (${bytes(asset.size)})` : "";
    const sure = await confirm({
      title: `Delete ${asset.filename}?`,
      words: `The ${kindWord(asset).toLowerCase()}${size} goes, and every link to it stops at once. This cannot be taken back.`,
      yes: "Delete",
    });
    if (!sure) return;
    try {
      await remove(`/assets/${asset.id}`);
    } catch (error) {
      if (error.status !== 404) {
        toast(error.message, { bad: true });
        return;
      }
    }
    $("viewer").close();
    this.library.drop(asset.id);
    toast(`Deleted ${asset.filename}`);
  }

  /** What is on the screen now becomes the first frame of the next shot. */
  async #useFrame() {
    const video = this.#media;
    if (!(video instanceof HTMLVideoElement)) return;
    try {
      if (video.readyState < 2) {
        video.currentTime = video.currentTime || 0.001;
        await new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
      }
      const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      const stem = this.#asset.filename.replace(/\.[^.]+$/, "");
      const at = timecode(video.currentTime).replaceAll(":", "-");
      $("viewer").close();
      this.generate.useFile(new File([blob], `${stem} at ${at}.png`, { type: "image/png" }));
      $("prompt").focus();
    } catch {
      toast("This frame cannot be taken: the video is not stored here yet.", { bad: true });
    }
  }

  #useImage() {
    const asset = this.#asset;
    $("viewer").close();
    this.generate.useAsset(asset, local(asset.poster_url ?? asset.url));
    $("prompt").focus();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("dialog") !== $("viewer")) return;
    if (event.target.matches("input, select, textarea")) return;
    const [media, key] = [this.#media, event.key.toLowerCase()];
    const done = () => event.preventDefault();
    if (event.shiftKey && (key === "n" || key === "p")) return done(), this.#go(key === "n" ? 1 : -1);
    if (!media || event.shiftKey) return undefined;
    const to = (time) => (done(), (media.currentTime = Math.max(0, Math.min(time, media.duration || 0))));
    const jump = media.duration > 60 ? 10 : 1;
    const frame = 1 / (this.#asset.fps || 24);
    // The media element itself and buttons know the space bar already.
    if (key === "k" || (key === " " && event.target !== media && !event.target.matches("button, a"))) {
      done();
      if (media.paused) media.play().catch(() => {});
      else media.pause();
    } else if (key === "j") to(media.currentTime - jump);
    else if (key === "l") to(media.currentTime + jump);
    else if (key === ",") media.pause(), to(media.currentTime - frame);
    else if (key === ".") media.pause(), to(media.currentTime + frame);
    else if (key === "f") {
      done();
      if (document.fullscreenElement) document.exitFullscreen();
      else media.requestFullscreen?.().catch(() => {});
    }
    return undefined;
  }
}

function facts(asset) {
  const size = asset.width && asset.height ? `${asset.width} × ${asset.height}` : null;
  const rows = [
    ["State", stateBadge(asset)],
    ["File", title(asset) === asset.filename ? null : asset.filename],
    ["Trouble", asset.storage_error?.message],
    ["Kind", `${kindWord(asset)}, ${roleWord(asset).toLowerCase()}`],
    ["Length", asset.duration ? `${asset.duration.toFixed(2)} s` : null],
    ["Picture", size && asset.fps ? `${size}, ${Number(asset.fps.toFixed(2))} fps` : size],
    ["Codecs", asset.codecs],
    ["Size", asset.size == null ? null : bytes(asset.size)],
    ["Type", asset.content_type],
    ["Made", moment(asset.created_at)],
    ["From", asset.role === "download" ? asset.source_url : null],
    ["SHA-256", asset.sha256],
  ];
  return rows
    .filter(([, value]) => value)
    .flatMap(([name, value]) => [h("dt", {}, name), h(name === "SHA-256" ? "dd.hash" : "dd", {}, value)]);
}
