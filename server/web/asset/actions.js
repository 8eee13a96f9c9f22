/** What can be done to the asset that is shown, as buttons. */

import { downloadOf, local, patch } from "../api.js";
import { openDialog } from "../dialog.js";
import { h, icon } from "../dom.js";
import { isUnsaved, timecode } from "../format.js";
import { draft } from "../generate/draft.js";
import { lastFrame } from "../generate/last_frame.js";
import { move, trash } from "../library/bulk.js";
import { toast } from "../notice.js";
import { go } from "../router.js";
import { saving } from "../saving.js";
import { share } from "./share.js";

/**
 * @param {object} asset
 * @param {{stage: import("./stage.js").Stage, set: (asset: object, how?: {renewed: boolean}) => void, leave: () => void}} view
 * @returns {HTMLElement[]}
 */
export function actions(asset, { stage, set, leave }) {
  const act = (name, words, onclick, { more = "", hint = null } = {}) =>
    h(`button.action${more}`, { type: "button", "data-act": name + words, onclick, title: hint }, icon(name), h("span", {}, words));
  const stored = asset.storage_state === "stored";
  const there = stored || asset.storage_state === "url_only";
  const busy = saving.isSaving(asset.id);
  return [
    isUnsaved(asset) && act("download", busy ? "Saving…" : "Save now", () => saving.save([asset]), { more: ".strong" }),
    asset.kind === "video" && stored &&
      act("frame", "Use last frame as next shot", () => useLastFrame(asset), { more: ".wide", hint: "The next shot begins where this one ends" }),
    asset.kind === "image" && stored && act("frame", "Use as first frame", () => useImage(asset), { more: ".wide" }),
    there && h("a.action", { href: downloadOf(asset), download: asset.filename, target: stored ? null : "_blank", rel: "noopener", "data-act": "fetch" },
      icon("download"), h("span", {}, "Download")),
    there && act("link", "Copy link", () => share(asset, (now) => set(now, { renewed: true }))),
    asset.kind === "video" && stored &&
      act("image", "Use this frame", () => useThisFrame(asset, stage.media),
        { hint: "The picture that is shown now becomes the first frame of the next shot" }),
    act("pencil", "Rename", () => rename(asset, set)),
    act("folder", "Move", () => move([asset])),
    act("trash", "Delete", async () => (await trash([asset])) && leave(), { more: ".grave" }),
  ].filter(Boolean);
}

const stem = (asset) => asset.filename.replace(/\.[^.]+$/, "");

function begin(blob, name) {
  draft.image = { file: new File([blob], `${name}.png`, { type: "image/png" }) };
  go("/generate");
}

export async function useLastFrame(asset) {
  try {
    begin(await lastFrame(local(asset.url)), `${stem(asset)}, last frame`);
  } catch (error) {
    toast(error.message, { bad: true });
  }
}

/** What is on the screen now becomes the first frame of the next shot. */
async function useThisFrame(asset, video) {
  try {
    if (video.readyState < 2) {
      video.currentTime = video.currentTime || 0.001;
      await new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
    }
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    begin(blob, `${stem(asset)} at ${timecode(video.currentTime).replaceAll(":", "-")}`);
  } catch {
    toast("This frame cannot be taken.", { bad: true });
  }
}

function useImage(asset) {
  draft.image = { asset };
  go("/generate");
}

function rename(asset, set) {
  const name = h("input", { id: "rename-name", name: "filename", maxlength: 400, autocomplete: "off", value: asset.filename, "aria-describedby": "rename-error" });
  const told = h("p.form-error", { id: "rename-error", role: "alert" });
  const send = async (event) => {
    event.preventDefault();
    const filename = name.value.trim();
    if (!filename) return void (told.textContent = "Give it a name.");
    try {
      const renamed = await patch(`/assets/${asset.id}`, { filename });
      dialog.close();
      set(renamed);
      toast(`Renamed to ${renamed.filename}`);
    } catch (error) {
      told.textContent = error.message;
    }
  };
  const dialog = openDialog({
    title: "Rename",
    content: [
      h("form", { novalidate: true, onsubmit: send },
        h("div.field", {}, h("label", { for: "rename-name" }, "File name"), name), told,
        h("div.buttons", {},
          h("button.secondary", { type: "button", onclick: () => dialog.close() }, "Cancel"),
          h("button.primary", { type: "submit" }, "Rename"))),
    ],
  });
  const dot = asset.filename.lastIndexOf(".");
  name.setSelectionRange(0, dot > 0 ? dot : asset.filename.length);
}
