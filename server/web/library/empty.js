/** What an empty library says: what to do, what can be had at once, what is to be set up. */

import { openAdd } from "../add/add.js";
import { h, icon } from "../dom.js";
import { countdown } from "../frame.js";
import { draft } from "../generate/draft.js";
import { go } from "../router.js";
import { service } from "../state.js";

const IDEAS = [
  "A paper boat crosses a puddle, neon on the water",
  "Slow push through a greenhouse at dawn, dust in the light",
  "A lighthouse keeper waves at a passing airship",
];

/** @returns {Node[]} */
export function firstVisit() {
  const use = (prompt) => {
    draft.prompt = prompt;
    go("/generate");
  };
  const lead = h("span.start-words");
  const setup = h("section.setup", { "aria-labelledby": "setup-title", hidden: true },
    h("h2.section-title", { id: "setup-title" }, "To generate with a real model"),
    h("p", {}, "No provider is set up, so what you generate is a sample: your prompt is drawn, no AI, nothing to pay. Start Reelbase with one of these lines in its environment:"),
    h("pre", { tabindex: 0, "aria-label": "Lines for the environment" }, h("code", {}, "REPLICATE_API_TOKEN=r8_…\nFAL_KEY=…")),
    h("p", {}, "Everything else works as it is."));
  const tell = (ready) => {
    const sample = ready.default_provider === "sample";
    lead.textContent = sample ? "A sample in seconds, without any account" : "Write a prompt, choose a model";
    setup.hidden = !sample;
  };
  lead.textContent = "Write a prompt, choose a model";
  if (service.value) tell(service.value);
  else service.ready().then(tell, () => {});
  return [
    h("p.empty-title", {}, "Nothing shot yet."),
    h("p", {}, "Everything you generate, upload or fetch is kept here, plays at once, and can be shared by a link."),
    h("ul.starts", {},
      start("generate", "Generate your first clip", lead, () => use(IDEAS[0]), ".first"),
      start("upload", "Upload files", "Or drop them anywhere on this page", () => openAdd()),
      start("link", "Add from a URL", "A video page, or the address of a file", addUrl)),
    h("h2.section-title", {}, "Or start from an idea"),
    h("ul.ideas.grid", {},
      ...IDEAS.map((idea, index) => {
        const frame = countdown({ number: IDEAS.length - index, share: (IDEAS.length - index) / 4 });
        const caption = h("span.caption", {}, h("span.name", {}, idea), h("span.meta", {}, "Use this prompt"));
        return h("li.tile", {}, h("button.idea", { type: "button", onclick: () => use(idea) }, frame, caption));
      })),
    setup,
  ];
}

function addUrl() {
  openAdd();
  document.querySelector("dialog[open] input[type=url]")?.focus();
}

function start(picture, title, words, onclick, more = "") {
  return h("li", {}, h(`button.start${more}`, { type: "button", onclick },
    icon(picture), h("span.start-title", {}, title),
    words instanceof Node ? words : h("span.start-words", {}, words)));
}
