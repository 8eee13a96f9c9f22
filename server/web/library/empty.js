/** What an empty library says: what to do, and what can be had at once. */

import { h } from "../dom.js";
import { countdown } from "../frame.js";
import { draft } from "../generate/draft.js";
import { go } from "../router.js";

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
  return [
    h("p.empty-title", {}, "Nothing shot yet."),
    h("p", {}, "Write a prompt and generate your first clip, or drop files anywhere on this page to add your own. Or start from an idea:"),
    h("ul.ideas.grid", {},
      ...IDEAS.map((idea, index) => {
        const frame = countdown({ number: IDEAS.length - index, share: (IDEAS.length - index) / 4 });
        const caption = h("span.caption", {}, h("span.name", {}, idea), h("span.meta", {}, "Use this prompt"));
        return h("li.tile", {}, h("button.idea", { type: "button", onclick: () => use(idea) }, frame, caption));
      })),
  ];
}
