/** One clip of the storyboard: its prompt, its frames, its length, and what only it asks for. */

import { arrange, h, icon, setText } from "../dom.js";
import { optionWord, valueWord } from "../models.js";
import { board } from "./board.js";
import { slot } from "./slot.js";

/**
 * @param {import("./board.js").Clip} clip
 * @param {{place: () => object, act: (what: "up" | "down" | "copy" | "remove") => void,
 *   grab: (event: PointerEvent) => void, signal: AbortSignal}} given
 */
export function clipCard(clip, { place, act, grab, signal }) {
  let number = 1;
  let model = null;
  const id = (name) => `${name}-${clip.key}`;
  const error = (name) => h("p.field-error", { id: `${id(name)}-error` });
  const errors = { prompt: error("prompt"), duration: error("duration"), input: error("input"), clip: error("clip") };

  const title = h("h2.shot-number");
  const button = (what, name) => h("button.icon-button", { type: "button", onclick: () => act(what) }, icon(name));
  const buttons = { up: button("up", "up"), down: button("down", "down"), copy: button("copy", "copy"), remove: button("remove", "trash") };
  const grip = h("button.icon-button.grip", { type: "button", onpointerdown: grab, onkeydown: byKey }, icon("grip"));
  const head = h("div.shot-head", {});

  const prompt = h("textarea", {
    id: id("prompt"), name: "prompt", rows: 3, maxlength: 20000, "aria-describedby": `${id("prompt")}-error`,
    placeholder: "What should the camera see?", oninput: () => changed({ prompt: prompt.value }, "prompt"),
  });
  prompt.value = clip.prompt;
  const promptLabel = h("label.visually-hidden", { for: id("prompt") }, "Prompt");

  const options = { number: () => number, place, signal };
  const slots = {
    image: slot(clip, "image", { words: "First frame", ...options }),
    last: slot(clip, "last", { words: "Last frame", ...options }),
  };
  const chained = h("div.slot.chained", { role: "group", "aria-label": "First frame" }, icon("chain"), h("span"));
  const frames = h("div.slots");

  const previous = h("input", { type: "checkbox", id: id("previous"), onchange: () => (changed({ previous: previous.checked }), show()) });
  previous.checked = clip.previous;
  const previousWords = h("span");
  const chain = h("label.check-line", {}, previous, previousWords);
  const seconds = h("select", { id: id("duration"), "aria-describedby": `${id("duration")}-error`, onchange: () => changed({ seconds: seconds.value }, "duration") });
  const length = h("div.shot-length", {}, h("label", { for: id("duration") }, "Length"), seconds);
  const own = h("div.own-fields");
  const more = h("details.own", { ontoggle: () => more.open && offerOwn() }, h("summary", {}, "Only for this clip"), own);
  const foot = h("div.shot-foot", {}, length, chain, more);
  const element = h("li.shot", { "data-clip": clip.key },
    head,
    h("div.shot-body", {}, frames, h("div.shot-words", {}, promptLabel, prompt, errors.prompt)),
    foot, errors.duration, errors.input, errors.clip);
  const hasOwn = () => Boolean(Object.values(clip.options).some(Boolean) || clip.extra.trim());

  function changed(values, name) {
    Object.assign(clip, values);
    board.keep();
    if (name) say(name, "");
  }

  function byKey(event) {
    const what = { ArrowUp: "up", ArrowDown: "down" }[event.key];
    if (!what) return;
    event.preventDefault();
    act(what, grip);
  }

  /** @param {number} index @param {number} count @param {import("../models.js").Model} chosen */
  function update(index, count, chosen) {
    number = index + 1;
    if (model !== chosen) {
      model = chosen;
      offerSeconds();
      if (more.open) offerOwn();
    }
    const many = count > 1;
    element.setAttribute("aria-label", `Clip ${number}`);
    setText(title, `Clip ${number}`);
    promptLabel.textContent = many ? `Prompt of clip ${number}` : "Prompt";
    const words = { up: `Move clip ${number} up`, down: `Move clip ${number} down`, copy: `Duplicate clip ${number}`, remove: `Remove clip ${number}` };
    for (const [name, label] of Object.entries(words)) {
      buttons[name].setAttribute("aria-label", label);
      buttons[name].title = label;
    }
    grip.setAttribute("aria-label", `Clip ${number} of ${count}: drag it, or move it with the arrow keys`);
    // Not `disabled`: whoever moves a clip to the end keeps the focus.
    buttons.up.setAttribute("aria-disabled", String(index === 0));
    buttons.down.setAttribute("aria-disabled", String(index === count - 1));
    arrange(head, many ? [grip, title, buttons.up, buttons.down, buttons.copy, buttons.remove] : [title, buttons.copy]);
    previousWords.textContent = `Begin with the last frame of clip ${index}`;
    more.open ||= hasOwn();
    show();
  }

  function show() {
    const chains = number > 1 && model.image;
    chain.hidden = !chains;
    const chainedNow = chains && clip.previous;
    setText(chained.lastChild, `Last frame of clip ${number - 1}`);
    slots.image.update(model.needs_image);
    slots.last.update(false);
    arrange(frames, [model.image && (chainedNow ? chained : slots.image.element), model.last_frame && slots.last.element].filter(Boolean));
    frames.hidden = !frames.children.length;
  }

  function offerSeconds() {
    const known = model.durations;
    seconds.replaceChildren(
      h("option", { value: "" }, "Automatic"),
      ...known.map((one) => h("option", { value: one }, one === 1 ? "1 second" : `${one} seconds`)));
    seconds.value = known.includes(Number(clip.seconds)) ? clip.seconds : "";
    clip.seconds = seconds.value;
    length.hidden = known.length === 0;
  }

  /** Made when it is looked at: few need it. */
  function offerOwn() {
    const choice = ([name, values]) => {
      const select = h("select", { id: id(name), onchange: () => (clip.options = { ...clip.options, [name]: select.value }, changed({}, "input")) },
        h("option", { value: "" }, "As all clips"),
        ...values.map((value) => h("option", { value: JSON.stringify(value) }, valueWord(value))));
      select.value = clip.options[name] ?? "";
      return h("div", {}, h("label", { for: id(name) }, optionWord(name)), select);
    };
    const extra = h("textarea.code", {
      id: id("input"), rows: 3, spellcheck: "false", "aria-describedby": `${id("input")}-error`, placeholder: '{"seed": 7}',
      oninput: () => changed({ extra: extra.value }, "input"),
    });
    extra.value = clip.extra;
    own.replaceChildren(...Object.entries(model.options).map(choice), h("div.wide", {}, h("label", { for: id("input") }, "More input, as JSON"), extra));
  }

  /** Words at a field: prompt, image, last, duration, input, or else at the clip. */
  function say(name, words) {
    if (slots[name] && frames.contains(slots[name].element)) return slots[name].say(words);
    const at = errors[name] ?? errors.clip;
    setText(at, words);
    field(name)?.setAttribute("aria-invalid", String(Boolean(words)));
    return undefined;
  }

  const field = (name) => ({ prompt, duration: seconds, input: own.querySelector("textarea") })[name];

  function focus(name = "prompt") {
    if (name === "input") {
      more.open = true;
      offerOwn();
    }
    if (slots[name] && frames.contains(slots[name].element)) slots[name].focus();
    else (field(name) ?? prompt).focus();
  }

  return {
    element, update, say, focus, buttons, grip,
    clear: () => ["prompt", "image", "last", "duration", "input", "clip"].forEach((name) => say(name, "")),
    useFile: (file) => slots.image.useFile(file),
    useAsset: (asset) => slots.image.use(asset),
    setPrompt(words) {
      prompt.value = words;
      changed({ prompt: words }, "prompt");
    },
  };
}
