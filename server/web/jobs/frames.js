/** The frame of a clip, or of a download: it counts while it is made, then shows what was made. */

import { downloadOf, local } from "../api.js";
import { arrange, h, icon, setText } from "../dom.js";
import { isUnsaved, pictureOf, stateBadge, timecode, title } from "../format.js";
import { leader } from "../frame.js";
import { isActive } from "../live.js";
import { saving } from "../saving.js";
import { clipWords, sentence, waitsFor, wordsOf } from "./words.js";

/** Further files of a clip that a card has room for; the page of the job shows all. */
const FURTHER = 7;

const ICONS = { audio: "audio", image: "image", other: "file", video: "play" };

/**
 * @param {string} label what it is, for those who do not see it
 * @param {number} number which one, 0 when it is the only one
 * @param {boolean} full whether there is room for everything that it made
 */
export function clipFrame(label, number, full = false) {
  const counts = leader(label);
  const broken = h("div.frame.broken", {}, icon("close"));
  const made = outputFrame();
  const status = h("span.status");
  const detail = h("span");
  const head = h("p.meta", {}, number > 0 && h("span.clip-number", {}, `Clip ${number}`), status);
  const name = h("p.clip-name", { title: label }, label);
  const words = h("p.meta", {}, detail);
  const reason = h("p.reason");
  const caption = number > 0 && h("div.clip-caption", {}, head, name, words, reason);
  const further = furtherFrames(full ? Infinity : FURTHER);
  const element = h(number > 0 ? "li.clip" : "div.clip", {});

  /** @param {object} job @param {object} clip one of its clips, or a download that looks like one */
  function update(job, clip) {
    const output = job.outputs.find((one) => one.id === clip.asset_id);
    const others = job.outputs.filter((one) => clip.outputs.includes(one.id) && one !== output);
    const ended = ["failed", "canceled"].includes(clip.status);
    const word = wordsOf(job)[clip.status] ?? clip.status;
    const shown = output && clip.status === "completed" ? output : null;
    // While the job goes on, an output that is not listed is about to be.
    const gone = clip.status === "completed" && !output && !isActive(job) ? goneFrame(Boolean(clip.asset_id)) : null;
    element.dataset.status = clip.status;
    setText(status, shown ? (isUnsaved(shown) ? stateBadge(shown) : shown.storage_state === "stored" ? "Stored" : "Storing") : word);
    setText(detail, sentence(waitsFor(job, clip) || clipWords(clip)));
    words.hidden = !detail.textContent;
    const unsaved = clip.status === "completed" ? [output, ...others].filter(Boolean).map(unsavedWords).find(Boolean) : "";
    setText(reason, clip.status === "failed" ? withCode(clip) : (unsaved ?? ""));
    reason.hidden = !reason.textContent;
    if (shown) made.update(shown);
    else counts.set(clip.progress, word);
    further.update(shown ? others : [], job);
    const main = shown ? made.element : (gone ?? (ended ? broken : counts.element));
    arrange(element, [main, shown && others.length > 0 && further.element, caption, ...(shown ? made.rescue() : [])].filter(Boolean));
  }

  return { element, update, tick: () => (made.tick(), further.tick()) };
}

/** What a clip made besides its main file: small, and as many as there is room for. */
function furtherFrames(room) {
  const frames = new Map();
  const rest = h("a.further-rest", {});
  const element = h("div.further", { role: "group", "aria-label": "Further files" });

  function update(assets, job) {
    const shown = assets.length > room ? assets.slice(0, room - 1) : assets;
    for (const asset of shown) {
      if (!frames.has(asset.id)) frames.set(asset.id, outputFrame());
      frames.get(asset.id).update(asset);
    }
    const left = assets.length - shown.length;
    setText(rest, left ? `+${left}` : "");
    rest.href = `#/jobs/${job.id}`;
    rest.setAttribute("aria-label", `${left} more files`);
    arrange(element, [...shown.map((one) => frames.get(one.id).element), left && rest].filter(Boolean));
  }

  return { element, update, tick: () => frames.forEach((one) => one.tick()) };
}

/** In the place of what was made and then deleted. */
function goneFrame(inTrash) {
  const words = [icon("trash"), h("span", {}, inTrash ? "In the trash" : "Deleted")];
  return inTrash ? h("a.frame.gone", { href: "#/manage/trash" }, ...words) : h("div.frame.gone", {}, ...words);
}

/** An asset as a picture that leads to it; what is not stored can be stored again. */
export function outputFrame() {
  let asset = null;
  const image = h("img", { alt: "", loading: "lazy", decoding: "async" });
  const counter = h("span.timecode");
  const badge = h("span.badge");
  const name = h("span.visually-hidden");
  const link = h("a.frame.output", {});
  const save = h("button.quiet.strong", { type: "button", onclick: () => saving.save([asset]) });
  const fetched = h("a.quiet", { target: "_blank", rel: "noopener" }, "Download");
  const row = h("div.rescue", {}, save, fetched);
  image.addEventListener("error", () => image.replaceWith(h("span.stand-in", {}, icon(ICONS[asset.kind] ?? "file"))));

  function update(next) {
    asset = next;
    const source = pictureOf(asset);
    const state = stateBadge(asset);
    link.href = `#/asset/${asset.id}`;
    setText(name, `Open ${title(asset)} `);
    if (source && image.getAttribute("src") !== local(source)) image.src = local(source);
    setText(counter, asset.duration ? timecode(asset.duration) : "");
    badge.dataset.state = asset.storage_state;
    tick();
    const stand = link.querySelector(".stand-in") ?? h("span.stand-in", {}, icon(ICONS[asset.kind] ?? "file"));
    arrange(link, [name, source ? image : stand, asset.duration && counter, state && badge].filter(Boolean));
    const busy = saving.isSaving(asset.id);
    setText(save, busy ? "Saving…" : "Save now");
    save.setAttribute("aria-disabled", String(busy));
    save.setAttribute("aria-label", `${save.textContent}: ${title(asset)}`);
    fetched.href = downloadOf(asset);
    fetched.hidden = asset.storage_state !== "url_only";
    fetched.setAttribute("aria-label", `Download ${title(asset)} from the provider`);
  }

  /** The countdown goes on. */
  const tick = () => asset && setText(badge, stateBadge(asset) ?? "");

  return { element: link, update, tick, rescue: () => (asset && isUnsaved(asset) ? [row] : []) };
}

/** Why an asset is not stored. */
export const unsavedWords = (asset) => (isUnsaved(asset) || asset.storage_state === "failed" ? (asset.storage_error?.message ?? "") : "");

/** Why, in words; with the code where it is the provider's, which people look up (E006). */
export const withCode = ({ error_message: words, error_code: code }) =>
  `${words ?? "It failed without a word."}${/^[A-Z]\d/.test(code ?? "") && !words?.includes(code) ? ` (${code})` : ""}`;
