/** Plays or shows one asset, tells what it is, and does to it what can be done. */

import { downloadOf, local, patch, post, remove } from "../api.js";
import { $, h, icon, setText } from "../dom.js";
import { bytes, isUnsaved, kindWord, moment, roleWord, stateBadge, timecode, title } from "../format.js";
import { confirm, openDialog } from "../dialog.js";
import { draft } from "../generate/draft.js";
import { list } from "../library/list.js";
import { live } from "../live.js";
import { toast } from "../notice.js";
import { go } from "../router.js";
import { saving } from "../saving.js";
import { share } from "./share.js";

export class Player {
  /** @type {object | null} */
  #asset = null;
  /** @type {HTMLMediaElement | null} */
  #media = null;

  /**
   * @param {object} asset
   * @param {AbortSignal} signal aborted when it is no longer shown
   */
  constructor(asset, signal) {
    this.#asset = asset;
    $("viewer-close").addEventListener("click", () => this.leave());
    $("previous").addEventListener("click", () => this.#go(-1));
    $("next").addEventListener("click", () => this.#go(1));
    addEventListener("keydown", (event) => this.#key(event), { signal });
    signal.addEventListener("abort", () => this.#clear());
    $("stage").style.setProperty("--ratio", asset.width && asset.height ? `${asset.width} / ${asset.height}` : "auto");
    $("stage").append(this.#picture(asset));
    this.update(asset);
  }

  get id() {
    return this.#asset.id;
  }

  /** What has the focus first. */
  get focus() {
    return this.#media ?? $("viewer-title");
  }

  /** Back to where the asset is one of many. */
  leave() {
    if (list.find(this.id) && history.length > 1 && list.listed) history.back();
    else go("/library", { replace: true });
  }

  /** Shows what is known by now about the asset that is open. */
  update(asset) {
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
    const state = `${asset.id} ${asset.storage_state} ${saving.isSaving(asset.id)}`;
    if ($("actions").dataset.asset !== state) {
      $("actions").dataset.asset = state;
      $("actions").replaceChildren(...this.#actions(asset));
    }
    $("facts").replaceChildren(...facts(asset));
    const index = this.#index();
    $("previous").disabled = index <= 0;
    $("next").disabled = index < 0 || index >= list.assets.length - 1;
  }

  #index() {
    return list.assets.findIndex((one) => one.id === this.id);
  }

  #go(step) {
    const index = this.#index();
    const next = list.assets[index + step];
    if (index < 0 || !next) return;
    if (index + step >= list.assets.length - 3) list.more();
    go(`/asset/${next.id}`, { replace: true });
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
      isUnsaved(asset) && act("download", saving.isSaving(asset.id) ? "Saving…" : "Save now",
        () => saving.save([this.#asset])),
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
      act("pencil", "Rename", () => this.#rename()),
      act("trash", "Delete", () => this.#delete(), { more: ".grave" }),
    ].filter(Boolean);
  }

  /** Download again what could not be had. */
  async #retry() {
    try {
      const job = await post(`/jobs/${this.#asset.job_id}/retry`);
      live.put(job);
      this.leave();
      list.refresh();
    } catch (error) {
      toast(error.message, { bad: true });
    }
  }

  #rename() {
    const asset = this.#asset;
    const name = h("input", { id: "rename-name", name: "filename", maxlength: 400, autocomplete: "off", value: asset.filename, "aria-describedby": "rename-error" });
    const told = h("p.form-error", { id: "rename-error", role: "alert" });
    const send = async (event) => {
      event.preventDefault();
      const filename = name.value.trim();
      if (!filename) return void (told.textContent = "Give it a name.");
      try {
        const renamed = await patch(`/assets/${asset.id}`, { filename });
        dialog.close();
        if (list.find(asset.id)) list.put(renamed);
        else this.update(renamed);
        toast(`Renamed to ${renamed.filename}`);
      } catch (error) {
        told.textContent = error.message;
      }
    };
    const dialog = openDialog({
      title: "Rename",
      content: [
        h("form", { novalidate: true, onsubmit: send },
          h("label", { for: "rename-name" }, "File name"), name, told,
          h("div.buttons", {},
            h("button.secondary", { type: "button", onclick: () => dialog.close() }, "Cancel"),
            h("button.primary", { type: "submit" }, "Rename"))),
      ],
    });
    const dot = asset.filename.lastIndexOf(".");
    name.setSelectionRange(0, dot > 0 ? dot : asset.filename.length);
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
    this.leave();
    list.drop(asset.id);
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
      draft.image = { file: new File([blob], `${stem} at ${at}.png`, { type: "image/png" }) };
      go("/generate");
    } catch {
      toast("This frame cannot be taken: the video is not stored here yet.", { bad: true });
    }
  }

  #useImage() {
    draft.image = { asset: this.#asset };
    go("/generate");
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog:modal")) return;
    if (event.target.matches("input, select, textarea")) return;
    const [media, key] = [this.#media, event.key.toLowerCase()];
    const done = () => event.preventDefault();
    if (key === "escape" && !document.fullscreenElement) return done(), this.leave();
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
