/** Generate: the slate, and beside it what becomes of it. */

import { dropTarget } from "../add/add.js";
import { h, heading, icon } from "../dom.js";
import { placeProgress, showJob } from "../jobs/progress.js";
import { models, service } from "../state.js";
import { draft } from "./draft.js";
import { Generate } from "./form.js";

export async function mount(root, { signal }) {
  const [ready, known] = await Promise.all([service.ready().catch(() => null), models.ready()]);
  const slate = form();
  const progress = h("div.results");
  root.append(h("div.studio", {}, slate, progress));
  placeProgress(progress);
  const generate = new Generate(ready?.default_provider ?? known[0]?.provider ?? "sample", known, showJob, signal);
  dropTarget(slate, ([file]) => generate.useFile(file), { signal, paste: true });
  const { prompt, image } = draft.take();
  if (prompt) generate.suggest(prompt);
  if (image?.file) generate.useFile(image.file);
  if (image?.asset) generate.useAsset(image.asset);
  return prompt || image ? slate.querySelector("textarea") : undefined;
}

const error = (name) => h("p.field-error", { id: `${name}-error` });

function form() {
  const cell = (name, ...content) => h("div.cell", { id: `${name}-cell` }, ...content, error(name));
  return h("form.slate", { id: "generate", novalidate: true },
    h("div.stick", { "aria-hidden": "true" }),
    h("div.stick.lower", { "aria-hidden": "true" }),
    heading("Generate"),
    cell("prompt",
      h("label", { for: "prompt" }, "Prompt"),
      h("textarea", { id: "prompt", name: "prompt", rows: 4, maxlength: 20000, "aria-describedby": "prompt-error", placeholder: "What should the camera see?" })),
    cell("image",
      h("span.label", { id: "image-label" }, "First frame ", h("span.optional", { id: "image-optional" }, "optional")),
      h("div", {},
        h("button.pick", { id: "image-pick", type: "button", "aria-labelledby": "image-label image-hint" },
          icon("image"), h("span", { id: "image-hint" }, "Choose, drop or paste an image")),
        h("input.visually-hidden", { id: "image-file", type: "file", accept: "image/*", tabindex: -1, "aria-hidden": "true" }),
        h("div.picked", { id: "image-picked", hidden: true },
          h("img", { id: "image-preview", alt: "" }),
          h("div.picked-words", {},
            h("span.picked-name", { id: "image-name" }),
            h("span.picked-state", { id: "image-state" }),
            h("progress", { id: "image-progress", max: 1, value: 0, "aria-label": "Upload of the image" })),
          h("button.icon-button", { id: "image-remove", type: "button", "aria-label": "Remove the image" }, icon("close"))))),
    h("div.cells", {},
      cell("model",
        h("label", { for: "model" }, "Model"),
        h("select", { id: "model", name: "model", "aria-describedby": "model-error" }),
        h("input", { id: "model-other", name: "model-other", "aria-label": "Name of the model", placeholder: "owner/model", autocomplete: "off", spellcheck: "false", hidden: true })),
      cell("duration",
        h("label", { for: "duration" }, "Length"),
        h("select", { id: "duration", name: "duration", "aria-describedby": "duration-error" }))),
    h("fieldset.cell.aspect", { id: "aspect", hidden: true }, h("legend", {}, "Frame"), h("div.ratios", { id: "ratios" })),
    h("div.cells.options", { id: "options", hidden: true }),
    h("div.cell.go", {},
      h("p.form-error", { id: "generate-error", role: "alert" }),
      h("button.primary", { id: "generate-button", type: "submit" }, "Generate")),
    h("details.sample-note", { id: "sample-note", hidden: true },
      h("summary", {}, "Sample mode: your prompt is drawn, no AI"),
      h("p", {}, "Everything works as with a real model. To generate for real, start Reelbase with your Replicate token in its environment:"),
      h("p", {}, h("code", {}, "REPLICATE_API_TOKEN=r8_…"))));
}
