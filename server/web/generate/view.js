/** Generate: the storyboard, the slate beside it, and below what becomes of it. */

import { h, heading } from "../dom.js";
import { placeProgress, showJob } from "../jobs/progress.js";
import { toast } from "../notice.js";
import { may, models, service } from "../state.js";
import { placeQuery } from "../add/place.js";
import { board } from "./board.js";
import { draft } from "./draft.js";
import { estimator } from "./estimate.js";
import { MAY_NOT, slate } from "./form.js";
import { storyboard } from "./story.js";

export async function mount(root, { signal }) {
  board.open();
  // Without the list a model can still be named.
  const [ready, known] = await Promise.all([service.ready().catch(() => null), models.ready().catch(() => [])]);
  const provider = ready?.default_provider ?? known[0]?.provider ?? "sample";
  const form = slate({ provider, models: known, signal, story: () => story, onModel: () => story.show(), onJob: showJob });
  const story = storyboard({ model: form.model, place: () => placeQuery(board.settings), signal });
  const clear = h("button.quiet", { type: "button", onclick: startOver }, "Start over");
  const results = h("div.results");
  const offerClear = () => (clear.hidden = board.isBlank);
  board.addEventListener("change", offerClear, { signal });
  story.element.addEventListener("input", offerClear);
  story.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
      event.preventDefault();
      form.submit();
    }
  });
  root.append(
    h("div.view-head", {}, heading("Generate"), clear),
    h("p.view-words", { id: "may-not", hidden: may("generate") }, MAY_NOT),
    h("div.studio", {}, story.element, form.element, results));
  form.show();
  offerClear();
  placeProgress(results, { studio: true });
  estimator().then((estimate) => signal.aborted || form.estimateBy(estimate));

  const { prompt, image } = draft.take();
  if (!prompt && !image) return undefined;
  // The next shot is another one of a storyboard, but takes the place of a single shot.
  if (board.clips.length > 1) board.add();
  const card = story.card(board.clips.length - 1);
  if (prompt) card.setPrompt(prompt);
  if (image?.file) card.useFile(image.file);
  if (image?.asset) card.useAsset(image.asset);
  offerClear();
  return card.element.querySelector("textarea");

  function startOver() {
    const undo = board.clear();
    toast("The storyboard is empty again.", { action: "Undo", onAction: undo });
    story.card(0).focus();
  }
}
