/** The models that can be chosen, as the server lists them. */

import { get } from "./api.js";

/**
 * @typedef {{provider: string, id: string, label: string, image: boolean, last_frame: boolean,
 *   needs_image: boolean, durations: number[], options: Record<string, (string | number | boolean)[]>}} Model
 */

const PROVIDERS = { sample: "Sample, no AI", replicate: "Replicate", fal: "FAL" };
const OPTIONS = { resolution: "Resolution", generate_audio: "Sound", fps: "Frames per second" };
const SECONDS = [4, 5, 6, 8, 10];

/** @returns {Promise<Model[]>} */
export const loadModels = async () => (await get("/models")).items;

/** What is offered for a model that is not in the list. @returns {Model} */
export const unknown = (provider) => ({
  provider, id: "", label: "", image: true, last_frame: false, needs_image: false, durations: SECONDS, options: {},
});

export const providerWord = (provider) => PROVIDERS[provider] ?? provider;

/** The name of an option: as people say it. */
export function optionWord(name) {
  const words = name.replaceAll("_", " ");
  return OPTIONS[name] ?? words[0].toUpperCase() + words.slice(1);
}

/** What a model can do, in a line. */
export function abilities(model) {
  const { image, last_frame: last, needs_image: needs, durations, options } = model;
  const pictures = [image && (needs ? "needs a first frame" : "takes a first frame"), last && "a last one"].filter(Boolean).join(" and ");
  const words = [pictures || "from words alone", span(durations), options.resolution && `${options.resolution.join(", ")}`, "generate_audio" in options && "with sound"];
  const line = words.filter(Boolean).join(" · ");
  return line[0].toUpperCase() + line.slice(1);
}

function span(durations) {
  if (!durations.length) return "";
  const [first, last] = [durations[0], durations.at(-1)];
  const all = last - first === durations.length - 1 && durations.length > 2;
  return `${all ? `${first} to ${last}` : durations.join(", ")} seconds`;
}

/** One of an option's values. */
export const valueWord = (value) => (typeof value === "boolean" ? (value ? "On" : "Off") : String(value));
