/** The card of a job: a frame for each clip, where it is, what failed and why, what can be done. */

import { post } from "../api.js";
import { arrange, h, setText } from "../dom.js";
import { ago, moment, timecode } from "../format.js";
import { isActive, live } from "../live.js";
import { toast } from "../notice.js";
import { providerWord } from "../models.js";
import { clipFrame, outputFrame, unsavedWords, withCode } from "./frames.js";
import { clipWords, nextTryOf, rateOf, retryWord, sentence, statusWord, titleOf } from "./words.js";

/** So long is a heading at most. */
export const SHORT = 120;

/**
 * @param {object} first the job
 * @param {{full?: boolean, onDismiss?: (element: Element) => void}} options full: with all that is known
 */
export function jobCard(first, { full = false, onDismiss = () => {} } = {}) {
  let job = first;
  const many = first.clips.length > 1;
  const name = titleOf(first);
  const frames = first.clips.length
    ? first.clips.map((clip, index) => clipFrame(clip.prompt, many ? index + 1 : 0, full))
    : [clipFrame(name, 0)];
  const clips = h(many ? "ol.clips" : "div.clips", {}, ...frames.map((one) => one.element));
  const combined = outputFrame();
  const combinedItem = h("li.clip", {}, combined.element, h("div.clip-caption", {}, h("p.meta", {}, h("span.clip-number", {}, "Joined"))));
  const status = h("span.status");
  const clock = h("span.counter", { "aria-hidden": "true" });
  const link = h("a.name", { href: `#/jobs/${first.id}`, title: name }, name);
  const rate = h("p.meta.rate");
  const reason = h("p.reason");
  const notes = h("ul.notes");
  const nextTry = h("p.meta.next-try");
  const facts = h(full ? "dl.job-facts" : "p.meta.job-line");
  const button = (words, what, more = "") =>
    h(`button.quiet${more}`, { type: "button", onclick: (event) => act(event, what), "aria-label": `${words}: ${name}` }, words);
  const buttons = { cancel: button("Cancel", "cancel"), retry: button("Retry", "retry", ".strong"), dismiss: button("Dismiss", "dismiss") };
  const row = h("div.card-buttons");
  const body = h("div.card-body", {}, h("p.meta", {}, status, clock), full ? name.length > SHORT && h("p.job-prompt", {}, name) : link, rate, reason, notes, nextTry, facts, row);
  const element = h(many ? "li.tile.card.job.many" : "li.tile.card.job", { "data-job": first.id }, ...(many ? [body, clips] : [clips, body]));

  let busy = false;
  async function act({ currentTarget: pressed }, what) {
    if (busy) return;
    busy = true;
    // Not `disabled`: that would take the focus away.
    pressed.setAttribute("aria-disabled", "true");
    try {
      const now = await post(`/jobs/${job.id}/${what}`);
      if (what === "dismiss") onDismiss(element);
      live.put(now);
    } catch (error) {
      // It ended a moment before: the next answer shows how.
      if (error.code === "job_ended") live.poke();
      else toast(error.message, { bad: true });
    }
    pressed.removeAttribute("aria-disabled");
    busy = false;
  }

  function tick() {
    if (isActive(job)) setText(clock, timecode((Date.now() - new Date(job.created_at)) / 1000));
    setText(nextTry, nextTryOf(job));
    nextTry.hidden = !nextTry.textContent;
    frames.forEach((one) => one.tick());
  }

  function update(next) {
    job = next;
    const active = isActive(job);
    element.dataset.status = job.status;
    setText(status, statusWord(job));
    clock.hidden = !active;
    if (job.clips.length) frames.forEach((one, index) => one.update(job, job.clips[index]));
    else frames[0].update(job, { ...job, attempts: 1, prompt: name, asset_id: job.outputs[0]?.id, outputs: [] });
    const joined = many && job.outputs.find((one) => one.role === "combined");
    if (joined) combined.update(joined);
    arrange(clips, [...frames.map((one) => one.element), joined && combinedItem].filter(Boolean));
    // Each clip says why by itself.
    const some = `${job.clips.filter((clip) => clip.status === "failed").length} of ${job.clips.length} clips failed.`;
    const failed = job.error_code === "clips_failed" ? some : withCode(job);
    setText(reason, job.status === "failed" ? failed : many ? "" : job.outputs.map(unsavedWords).find(Boolean) ?? "");
    reason.hidden = !reason.textContent;
    const alone = job.clips.length === 1 ? clipWords(job.clips[0]) : "";
    setText(rate, job.kind === "download" ? (active ? rateOf(job) : "") : sentence(alone));
    rate.hidden = !rate.textContent;
    // A download's notes are its attempts: while it waits for the next the line above has the last.
    const told = job.kind === "download" && !full ? [] : job.notes;
    notes.hidden = told.length === 0;
    if ([...notes.children].map((one) => one.textContent).join("\n") !== told.join("\n")) notes.replaceChildren(...told.map((note) => h("li", {}, note)));
    showFacts();
    const { cancel, retry, dismiss } = buttons;
    setText(retry, retryWord(job));
    retry.setAttribute("aria-label", `${retry.textContent}: ${name}`);
    const ended = ["failed", "canceled"].includes(job.status);
    const again = ended || job.clips.some((clip) => clip.status === "failed");
    const had = row.contains(document.activeElement);
    arrange(row, active ? [cancel] : [again && retry, ended && !job.dismissed_at && dismiss].filter(Boolean));
    // On the name: whoever presses Enter once more does nothing by it.
    if (had && !row.contains(document.activeElement)) (full ? document.querySelector("#view h1") : link).focus();
    row.hidden = row.children.length === 0;
    tick();
  }

  function showFacts() {
    const where = [job.provider && job.provider !== "sample" && providerWord(job.provider), job.model].filter(Boolean).join(" ");
    const cost = job.cost ? `$${job.cost.toFixed(job.cost < 0.1 ? 3 : 2)}` : null;
    const work = job.seconds ? `${job.seconds.toFixed(1)} s` : null;
    if (!full) {
      setText(facts, [where, ago(job.created_at), many && `${job.clips.length} clips`, cost, job.dismissed_at && "dismissed"].filter(Boolean).join(" · "));
      return;
    }
    const took = job.ended_at ? timecode((new Date(job.ended_at) - new Date(job.created_at)) / 1000) : null;
    const rows = [
      ["Model", where], ["Asked for", moment(job.created_at)], ["Ended", job.ended_at && moment(job.ended_at)], ["Took", took],
      ["Predictions", job.predictions], ["Model time", work], ["Cost", cost], ["Error", job.error_code], ["From", job.source_url], ["Reference", job.reference],
      ["Dismissed", job.dismissed_at && moment(job.dismissed_at)], ["Job", job.id],
    ];
    facts.replaceChildren(...rows.filter(([, value]) => value).flatMap(([word, value]) => [h("dt", {}, word), h("dd", {}, value)]));
  }

  update(first);
  return { element, update, tick, get job() { return job; } };
}
