/** The slate: prompt, first frame, model, length, frame; and off it goes. */

import { local, post, remove, upload } from "../api.js";
import { $, h, memory, randomId } from "../dom.js";
import { percent } from "../format.js";
import { optionWord, providerWord, unknown, valueWord } from "../models.js";
import { toast } from "../notice.js";

const OTHER = "…";
// A second click so soon means the same shot; later it means another take.
const DOUBLE_CLICK = 700;

/** The form that is shown, or was last. @type {Generate} */
let shown = null;
/** @type {{asset: object | null, owned: boolean, done: Promise<void>, stop: AbortController, preview: string, source: string,
 *   name: string, state: string, share: number} | null} */
let image = null;

export class Generate {
  #sending = false;
  // The same request sent twice is one job: the key changes with what is asked for.
  #key = randomId();
  #sent = "";

  /**
   * @param {string} provider the one that is asked when none is named
   * @param {import("./models.js").Model[]} models
   * @param {(job: object) => void} onJob
   * @param {AbortSignal} signal aborted when the form is gone; its image waits for the next one
   */
  constructor(provider, models, onJob, signal) {
    this.signal = signal;
    this.provider = provider;
    this.models = models;
    this.onJob = onJob;
    $("sample-note").hidden = provider !== "sample";
    this.#offerModels();
    $("model").addEventListener("change", () => this.#offerChoices());
    $("prompt").value = memory.get("draft", "");
    $("prompt").addEventListener("input", () => {
      memory.set("draft", $("prompt").value || null);
      this.#say("prompt", "");
    });
    $("prompt").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
        event.preventDefault();
        $("generate").requestSubmit();
      }
    });
    $("generate").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("image-pick").addEventListener("click", () => $("image-file").click());
    $("image-file").addEventListener("change", () => {
      const [file] = $("image-file").files;
      if (file) this.useFile(file);
      $("image-file").value = "";
    });
    $("image-remove").addEventListener("click", () => {
      this.#dropImage();
      $("image-pick").focus();
    });
    shown = this;
    if (image) this.#showImage();
  }

  /** Writes a prompt for somebody who does not know what to ask. */
  suggest(prompt) {
    $("prompt").value = prompt;
    $("prompt").dispatchEvent(new Event("input"));
    $("prompt").focus();
  }

  /**
   * Sends an image to the library, to be the first frame.
   * @param {Blob & {name?: string}} file
   */
  useFile(file) {
    this.#dropImage();
    this.#say("image", "");
    const preview = URL.createObjectURL(file);
    const name = file.name || "pasted.png";
    const one = { asset: null, owned: true, stop: new AbortController(), preview, source: preview, name, state: "Uploading", share: 0, done: Promise.resolve() };
    image = one;
    this.#showImage();
    one.done = upload(file, name, {
      signal: one.stop.signal,
      onProgress: (share) => {
        one.share = share;
        one.state = `Uploading, ${percent(share)}`;
        if (image === one) shown.#showImage();
      },
    }).then(
      (asset) => shown.#arrived(one, asset),
      (error) => shown.#lost(one, error),
    );
  }

  /** An image of the library is the first frame. */
  useAsset(asset) {
    this.#dropImage();
    this.#say("image", "");
    const source = local(asset.poster_url ?? asset.url);
    image = {
      asset, owned: false, stop: new AbortController(), preview: "", source, name: asset.filename, state: "From the library",
      share: 1, done: Promise.resolve(),
    };
    this.#showImage();
  }

  #arrived(one, asset) {
    one.asset = asset;
    if (image !== one) {
      if (one.owned) remove(`/assets/${asset.id}`, { permanent: true }).catch(() => {});
    } else if (asset.kind === "image") {
      Object.assign(one, { state: "Ready", share: 1 });
      this.#showImage();
    } else {
      this.#dropImage();
      this.#say("image", "This is not a picture that can be read. Use a PNG, JPEG or WebP.");
    }
  }

  #lost(one, error) {
    if (image !== one || error.name === "AbortError") return;
    this.#dropImage();
    this.#say("image", `The image was not uploaded: ${error.message}`);
  }

  #showImage() {
    if (this.signal.aborted) return;
    if ($("image-preview").getAttribute("src") !== image.source) $("image-preview").src = image.source;
    $("image-name").textContent = image.name;
    $("image-progress").value = image.share;
    $("image-progress").hidden = Boolean(image.asset);
    $("image-state").textContent = image.state;
    $("image-pick").hidden = true;
    $("image-picked").hidden = false;
  }

  #dropImage() {
    const before = image;
    image = null;
    if (!this.signal.aborted) {
      $("image-pick").hidden = false;
      $("image-picked").hidden = true;
      $("image-preview").removeAttribute("src");
    }
    if (!before) return;
    before.stop.abort();
    if (before.preview) URL.revokeObjectURL(before.preview);
    // It came for this shot alone and was not used.
    if (before.owned && before.asset) remove(`/assets/${before.asset.id}`, { permanent: true }).catch(() => {});
  }

  #offerModels() {
    const providers = [...new Set([this.provider, ...this.models.map((one) => one.provider)])];
    const groups = providers.map((provider) => {
      const known = this.models.filter((one) => one.provider === provider);
      const options = known.map((one) => h("option", { value: `${provider} ${one.id}` }, one.label));
      if (provider !== "sample") options.push(h("option", { value: `${provider} ${OTHER}` }, "Another model…"));
      return [provider, options];
    });
    $("model").replaceChildren(
      ...(groups.length === 1
        ? groups[0][1]
        : groups.map(([provider, options]) => h("optgroup", { label: providerWord(provider) }, ...options))),
    );
    const last = memory.get("shot-model", "");
    $("model").value = last;
    if ($("model").selectedIndex < 0 && last) {
      const [provider, id] = split(last);
      $("model").value = `${provider} ${OTHER}`;
      if ($("model").selectedIndex >= 0) $("model-other").value = id;
    }
    if ($("model").selectedIndex < 0) $("model").selectedIndex = 0;
    this.#offerChoices();
  }

  /** The chosen model, whether it is in the list or not. */
  #model() {
    const [provider, id] = split($("model").value);
    return this.models.find((one) => one.provider === provider && one.id === id) ?? unknown(provider || this.provider);
  }

  #isOther() {
    return $("model").value.endsWith(` ${OTHER}`);
  }

  /** What the chosen model can do, and no more. */
  #offerChoices() {
    const other = this.#isOther();
    $("model-other").hidden = !other;
    const model = this.#model();
    const seconds = $("duration").value || String(memory.get("duration", ""));
    $("duration").replaceChildren(
      h("option", { value: "" }, "Automatic"),
      ...model.durations.map((one) => h("option", { value: one }, one === 1 ? "1 second" : `${one} seconds`)),
    );
    $("duration").value = model.durations.includes(Number(seconds)) ? seconds : "";
    $("duration").disabled = model.durations.length === 0;
    $("image-cell").hidden = !model.image;
    $("image-label").classList.toggle("needed", model.needs_image);
    $("image-optional").textContent = model.needs_image ? "needed by this model" : "optional";
    const { aspect_ratio: aspects = [], ...options } = model.options;
    $("aspect").hidden = aspects.length === 0;
    const aspect = memory.get("aspect", "16:9");
    const chosen = aspects.includes(aspect) ? aspect : aspects[0];
    $("ratios").replaceChildren(
      ...aspects.map((one) =>
        h("label.ratio", {},
          h("input", { type: "radio", name: "aspect", value: one, checked: one === chosen }),
          h("span.ratio-shape", { "data-ratio": one, "aria-hidden": "true" }),
          h("span", {}, one)),
      ),
    );
    $("options").hidden = Object.keys(options).length === 0;
    $("options").replaceChildren(...Object.entries(options).map(([name, values]) => this.#option(name, values)));
  }

  /** A field of the model's input, with what it may be. */
  #option(name, values) {
    const select = h("select", { id: `option-${name}`, "data-option": name },
      h("option", { value: "" }, "Automatic"),
      ...values.map((value) => h("option", { value: JSON.stringify(value) }, valueWord(value))));
    const last = memory.get(`option.${name}`, "");
    if (values.some((value) => JSON.stringify(value) === last)) select.value = last;
    return h("div.cell", {}, h("label", { for: `option-${name}` }, optionWord(name)), select);
  }

  #request() {
    const shown = this.#model();
    const id = this.#isOther() ? $("model-other").value.trim() : shown.id;
    const aspect = $("generate").elements.aspect?.value;
    const seconds = Number($("duration").value);
    const clip = { prompt: $("prompt").value.trim() };
    const input = aspect ? { aspect_ratio: aspect } : {};
    for (const select of $("options").querySelectorAll("select")) {
      memory.set(`option.${select.dataset.option}`, select.value || null);
      if (select.value) input[select.dataset.option] = JSON.parse(select.value);
    }
    if (seconds) clip.duration = seconds;
    if (shown.image && image?.asset) clip.image_asset_id = image.asset.id;
    if (Object.keys(input).length) clip.input = input;
    memory.set("shot-model", `${shown.provider} ${id}`);
    memory.set("duration", seconds || null);
    if (aspect) memory.set("aspect", aspect);
    return { model: id, provider: shown.provider, clips: [clip] };
  }

  async #submit() {
    if (this.#sending) return;
    for (const name of ["prompt", "image", "model", "duration"]) this.#say(name, "");
    $("generate-error").textContent = "";
    if (!$("prompt").value.trim()) return this.#refuse("prompt", "Say what the shot shows.");
    if (this.#isOther() && !$("model-other").value.trim()) {
      return this.#refuse("model", "Name the model, as owner/model.");
    }
    if (this.#model().needs_image && !image) {
      return this.#refuse("image", "This model begins with an image: choose one.");
    }
    this.#busy(true);
    const begun = Date.now();
    try {
      await image?.done;
      const json = this.#request();
      const text = JSON.stringify(json);
      if (this.#sent && this.#sent !== text) this.#key = randomId();
      this.#sent = text;
      const job = await post("/jobs", json, { headers: { "Idempotency-Key": this.#key } });
      // Asked for again after an answer, the same is another take.
      this.#key = randomId();
      if (image) image.owned = false;
      this.onJob(job);
    } catch (error) {
      this.#explain(error);
    }
    await new Promise((resolve) => setTimeout(resolve, begun + DOUBLE_CLICK - Date.now()));
    this.#busy(false);
    return undefined;
  }

  #busy(yes) {
    this.#sending = yes;
    if (this.signal.aborted) return;
    $("generate").classList.toggle("rolling", yes);
    $("generate-button").setAttribute("aria-disabled", String(yes));
    $("generate-button").textContent = yes ? "Sending…" : "Generate";
  }

  /** Each field's error at the field, the rest above the button. */
  #explain(error) {
    if (this.signal.aborted) {
      toast(`The shot was not sent: ${error.message}`, { bad: true });
      return;
    }
    const places = [
      [/prompt/, "prompt"],
      [/image/, "image"],
      [/duration/, "duration"],
      [/model|provider/, "model"],
    ];
    let told = false;
    for (const { field, message } of error.fields ?? []) {
      const place = places.find(([pattern]) => pattern.test(field))?.[1];
      if (!place) continue;
      if (!told) this.#refuse(place, message);
      else this.#say(place, message);
      told = true;
    }
    if (!told) $("generate-error").textContent = error.message;
    if (error.code === "storage_full") toast(error.message, { bad: true });
  }

  #refuse(name, words) {
    this.#say(name, words);
    $({ image: "image-pick" }[name] ?? name).focus();
  }

  #say(name, words) {
    if (this.signal.aborted) return;
    const element = $(`${name}-error`);
    element.textContent = words ? words[0].toUpperCase() + words.slice(1) : "";
    $({ image: "image-pick" }[name] ?? name).setAttribute("aria-invalid", String(Boolean(words)));
  }
}

/** A provider, and the model's name there, which may have blanks in it for all we know. */
function split(value) {
  const at = value.indexOf(" ");
  return [value.slice(0, at), value.slice(at + 1)];
}
