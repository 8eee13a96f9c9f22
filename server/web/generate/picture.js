/**
 * A picture that a clip begins or ends with, from wherever it comes: a file, which is sent to the
 * library, an asset, or a video of either kind, which gives its last frame.
 *
 *   Picture.ofFile(file, place)  Picture.ofAsset(asset, place)  Picture.ofMemory({id, name})
 *   picture.asset    once it is in the library     picture.done     resolves when it is there, or not
 *   picture.name, source, words, share             what is shown    picture.failed   why it is not
 *   event `change`
 */

import { get, local, upload } from "../api.js";
import { percent } from "../format.js";
import { lastFrame } from "./last_frame.js";

const NO_PICTURE = "This is not a picture that can be read. Use a PNG, JPEG or WebP.";

export class Picture extends EventTarget {
  asset = null;
  name = "";
  source = "";
  words = "";
  share = 0;
  failed = "";
  done = Promise.resolve();
  #stop = new AbortController();
  #url = "";

  /** @param {File} file an image, or a video @param {{project_id?: string, scene_id?: string}} place */
  static ofFile(file, place) {
    const one = new Picture();
    const url = URL.createObjectURL(file);
    if (!file.type.startsWith("video/")) {
      one.#begin(file.name || "pasted.png", () => one.#send(file, place), url);
      return one;
    }
    one.#begin(file.name, () => one.#sendFrame(url, file.name, place).finally(() => URL.revokeObjectURL(url)));
    return one;
  }

  /** @param {object} asset an image of the library, or a video */
  static ofAsset(asset, place) {
    const one = new Picture();
    if (asset.kind === "video") one.#begin(asset.filename, () => one.#sendFrame(local(asset.url), asset.filename, place));
    else one.#is(asset, "From the library");
    return one;
  }

  /** What was remembered: shown when it is still there. */
  static ofMemory({ id, name }) {
    const one = new Picture();
    one.#begin(name, async () => one.#is(await get(`/assets/${id}`), "From the library"));
    one.asset = { id, filename: name };
    return one;
  }

  /** It is not wanted any more. */
  drop() {
    this.#stop.abort();
    if (this.#url) URL.revokeObjectURL(this.#url);
  }

  #begin(name, work, preview = "") {
    Object.assign(this, { name, source: preview, words: "Reading" });
    this.#url = preview;
    this.done = work().catch((error) => {
      if (error.name === "AbortError") return;
      this.asset = null;
      this.failed = error.status === 404 ? "This image is not in the library any more." : error.message;
      this.#changed();
    });
  }

  async #sendFrame(source, filename, place) {
    this.words = "Taking the last frame";
    const frame = await lastFrame(source);
    const name = `${filename.replace(/\.[^.]+$/, "")} last frame.png`;
    this.#url = URL.createObjectURL(frame);
    Object.assign(this, { source: this.#url, name });
    await this.#send(new File([frame], name, { type: "image/png" }), place);
  }

  async #send(file, place) {
    const asset = await upload(file, this.name, {
      query: place,
      signal: this.#stop.signal,
      onProgress: (share) => {
        Object.assign(this, { share, words: `Uploading, ${percent(share)}` });
        this.#changed();
      },
    }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error(`The image was not uploaded: ${error.message}`);
    });
    if (asset.kind !== "image") throw new Error(NO_PICTURE);
    this.#is(asset, "Ready");
  }

  #is(asset, words) {
    const source = this.#url || local(asset.poster_url ?? asset.url);
    Object.assign(this, { asset, name: asset.filename, source, share: 1, words });
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
