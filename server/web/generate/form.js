/** The slate: the model and what holds for all clips; and off it goes. */

import { placeFields } from "../add/place.js";
import { post } from "../api.js";
import { h, memory, randomId, setText } from "../dom.js";
import { abilities, optionWord, providerWord, unknown, valueWord } from "../models.js";
import { toast } from "../notice.js";
import { may } from "../state.js";
import { board } from "./board.js";
import { bodyOf, faults, placeOf } from "./request.js";

export const MAY_NOT = "This key may not generate. Sign in with one that may.";
const OTHER = "…";
// A second click so soon means the same shots; later it means another take.
const DOUBLE_CLICK = 700;

/**
 * @param {{provider: string, models: import("../models.js").Model[], signal: AbortSignal,
 *   story: () => ReturnType<typeof import("./story.js").storyboard>, onModel: () => void,
 *   onJob: (job: object) => void}} given `provider`: the one that is asked when none is named
 */
export function slate({ provider, models, signal, story, onModel, onJob }) {
  let sending = false;
  let estimate = () => [];
  const { settings } = board;

  const error = (name) => h("p.field-error", { id: `${name}-error` });
  const cell = (name, ...content) => h("div.cell", { id: `${name}-cell` }, ...content, error(name));
  const select = h("select", { id: "model", name: "model", "aria-describedby": "model-able model-error", onchange: () => choose() });
  const other = h("input", { id: "model-other", name: "model-other", "aria-label": "Name of the model", placeholder: "owner/model", autocomplete: "off", spellcheck: "false", hidden: true, oninput: () => choose() });
  const able = h("p.able", { id: "model-able" });
  const ratios = h("div.ratios");
  const aspect = h("fieldset.cell.aspect", { id: "aspect", hidden: true }, h("legend", {}, "Frame"), ratios);
  const options = h("div.cells.options", { id: "options", hidden: true });
  const extra = h("textarea.code", {
    id: "input", rows: 3, spellcheck: "false", "aria-describedby": "input-error", placeholder: '{"seed": 7, "style": "film"}',
    oninput: () => (keep({ extra: extra.value }), say("input", "")),
  });
  const more = h("details.cell.more-input", {}, h("summary", {}, "More input, as JSON"),
    h("label.visually-hidden", { for: "input" }, "More input for the model, as JSON"), extra, error("input"));
  const place = placeFields(settings, { prefix: "shot", signal, onChange: keep });
  const combine = h("input", { type: "checkbox", id: "combine", onchange: () => keep({ combine: combine.checked }) });
  const combineCell = h("label.cell.check-line", { hidden: true }, combine, h("span", {}, "Join the clips into one video"));
  const guess = h("ul.estimate", { "aria-label": "Estimate", hidden: true });
  const trouble = h("p.form-error", { id: "generate-error", role: "alert" });
  const refused = !may("generate");
  const button = h("button.primary", { id: "generate-button", type: "submit", "aria-disabled": refused && "true", "aria-describedby": refused && "may-not" }, "Generate");
  const element = h("form.slate", { id: "generate", novalidate: true, onsubmit: (event) => (event.preventDefault(), submit()) },
    h("div.stick", { "aria-hidden": "true" }), h("div.stick.lower", { "aria-hidden": "true" }),
    cell("model", h("label", { for: "model" }, "Model"), select, other, able),
    aspect, options, more,
    h("div.cell", {}, place), combineCell,
    h("div.cell.go", {}, guess, trouble, button),
    sampleNote(provider));

  extra.value = settings.extra;
  more.open = Boolean(extra.value.trim());
  combine.checked = settings.combine;
  offerModels();

  function keep(values) {
    Object.assign(settings, values);
    board.keep();
  }

  function offerModels() {
    const providers = [...new Set([provider, ...models.map((one) => one.provider)])];
    const groups = providers.map((name) => {
      const known = models.filter((one) => one.provider === name);
      const choices = known.map((one) => h("option", { value: `${name} ${one.id}` }, one.label));
      if (name !== "sample") choices.push(h("option", { value: `${name} ${OTHER}` }, "Another model…"));
      return [name, choices];
    });
    const grouped = ([name, choices]) => h("optgroup", { label: providerWord(name) }, ...choices);
    select.replaceChildren(...(groups.length === 1 ? groups[0][1] : groups.map(grouped)));
    select.value = settings.model;
    if (select.selectedIndex < 0 && settings.model) {
      const [name, id] = split(settings.model);
      select.value = `${name} ${OTHER}`;
      if (select.selectedIndex >= 0) other.value = id;
    }
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }

  const isOther = () => select.value.endsWith(` ${OTHER}`);
  let chosen = { key: "", model: null };

  /** The chosen model, whether it is in the list or not: the same object while it is the same. */
  function model() {
    if (!chosen.model || chosen.key !== select.value) {
      const [name, id] = split(select.value);
      chosen = { key: select.value, model: models.find((one) => one.provider === name && one.id === id) ?? unknown(name || provider) };
    }
    return chosen.model;
  }

  const modelId = () => (isOther() ? other.value.trim() : model().id);

  function choose() {
    keep({ model: `${model().provider} ${modelId()}` });
    say("model", "");
    show();
    onModel();
  }

  /** What the chosen model can do, and no more. */
  function show() {
    const now = model();
    other.hidden = !isOther();
    able.hidden = isOther() && !now.id;
    setText(able, able.hidden ? "" : abilities(now));
    more.hidden = false;
    if (isOther()) more.open = true;
    const { aspect_ratio: aspects = [], ...rest } = now.options;
    aspect.hidden = aspects.length === 0;
    const wanted = settings.options.aspect_ratio;
    const first = aspects.some((one) => JSON.stringify(one) === wanted) ? wanted : JSON.stringify(aspects[0] ?? "");
    if (aspects.length) settings.options.aspect_ratio = first;
    ratios.replaceChildren(...aspects.map((one) =>
      h("label.ratio", {},
        h("input", { type: "radio", name: "aspect", value: one, checked: JSON.stringify(one) === first, onchange: () => option("aspect_ratio", JSON.stringify(one)) }),
        h("span.ratio-shape", { "data-ratio": one, "aria-hidden": "true" }), h("span", {}, one))));
    options.hidden = Object.keys(rest).length === 0;
    options.replaceChildren(...Object.entries(rest).map(optionCell));
    showClips();
  }

  function option(name, text) {
    keep({ options: { ...settings.options, [name]: text } });
  }

  /** A field of the model's input, with what it may be. */
  function optionCell([name, values]) {
    const field = h("select", { id: `option-${name}`, onchange: () => option(name, field.value) },
      h("option", { value: "" }, "Automatic"),
      ...values.map((value) => h("option", { value: JSON.stringify(value) }, valueWord(value))));
    field.value = settings.options[name] ?? "";
    if (field.selectedIndex < 0) field.value = "";
    return h("div.cell", {}, h("label", { for: `option-${name}` }, optionWord(name)), field);
  }

  /** What follows from how many clips there are. */
  function showClips() {
    const count = board.clips.length;
    combineCell.hidden = count < 2;
    const lines = modelId() ? estimate(model(), modelId(), count) : [];
    guess.hidden = lines.length === 0;
    guess.replaceChildren(...lines.map((words) => h("li", {}, words)));
    if (!sending) setText(button, count > 1 ? `Generate ${count} clips` : "Generate");
  }

  async function submit() {
    if (sending) return;
    clear();
    if (refused) return void setText(trouble, MAY_NOT);
    const found = faults(board, model(), modelId());
    if (found.length) return void refuse(found);
    busy(true);
    const begun = Date.now();
    try {
      await Promise.all(board.clips.flatMap((clip) => [clip.image?.done, clip.last?.done]));
      // A picture that did not come has said so in its place.
      if (!element.isConnected || !faults(board, model(), modelId()).length) {
        const json = bodyOf(board, model(), modelId());
        const job = await post("/jobs", json, { headers: { "Idempotency-Key": keyOf(json) } });
        // Asked for again after an answer, the same is another take.
        memory.set("shot", null);
        onJob(job);
      } else {
        refuse(faults(board, model(), modelId()));
      }
    } catch (problem) {
      explain(problem);
    }
    await new Promise((resolve) => setTimeout(resolve, begun + DOUBLE_CLICK - Date.now()));
    busy(false);
  }

  function busy(yes) {
    sending = yes;
    element.classList.toggle("rolling", yes);
    button.setAttribute("aria-disabled", String(yes));
    if (yes) setText(button, "Sending…");
    else showClips();
  }

  /** Each field's error at the field, the rest above the button. */
  function explain(problem) {
    if (signal.aborted) {
      toast(`The shot was not sent: ${problem.message}`, { bad: true });
      return;
    }
    const places = (problem.fields ?? []).map(({ field, message }) => ({ ...placeOf(field), words: message }));
    if (!places.length || places.some(({ name }) => name === "all")) setText(trouble, problem.message);
    refuse(places.filter(({ name }) => name !== "all"));
    if (problem.code === "storage_full") toast(problem.message, { bad: true });
  }

  /** Says what is wrong, and goes to the first of it. */
  function refuse(found) {
    for (const { clip, name, words } of found) (story().card(clip)?.say ?? say)(name, sentence(words));
    if (!found.length) return;
    const { clip, name } = found[0];
    if (story().card(clip)) story().card(clip).focus(name);
    else field(name)?.focus();
  }

  const field = (name) => {
    if (name === "input") more.open = true;
    const id = { model: isOther() ? "model-other" : "model", project: "shot-project", scene: "shot-scene" }[name] ?? name;
    return element.querySelector(`#${id}`);
  };

  function say(name, words) {
    const id = { project: "shot-project", scene: "shot-scene" }[name] ?? name;
    setText(element.querySelector(`#${id}-error`) ?? trouble, words);
    if (words || name !== "input") field(name)?.setAttribute("aria-invalid", String(Boolean(words)));
    else extra.setAttribute("aria-invalid", "false");
  }

  function clear() {
    story().clear();
    for (const name of ["model", "input", "project", "scene"]) say(name, "");
    setText(trouble, "");
  }

  board.addEventListener("change", showClips, { signal });
  return {
    element, model, submit, show,
    /** @param {(model: object, id: string, clips: number) => string[]} known */
    estimateBy(known) {
      estimate = known;
      showClips();
    },
  };
}

const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) : "");

/** The same request sent twice is one job, also over a reload: its key changes with what is asked for. */
function keyOf(json) {
  const text = JSON.stringify(json);
  const before = memory.get("shot");
  if (before?.text === text) return before.key;
  const key = randomId();
  memory.set("shot", { text, key });
  return key;
}

/** A provider, and the model's name there, which may have blanks in it for all we know. */
function split(value) {
  const at = value.indexOf(" ");
  return [value.slice(0, at), value.slice(at + 1)];
}

function sampleNote(provider) {
  return h("details.sample-note", { id: "sample-note", hidden: provider !== "sample" },
    h("summary", {}, "Sample mode: your prompt is drawn, no AI"),
    h("p", {}, "Everything works as with a real model. To generate for real, start Reelbase with your Replicate token in its environment:"),
    h("p", {}, h("code", {}, "REPLICATE_API_TOKEN=r8_…")));
}
