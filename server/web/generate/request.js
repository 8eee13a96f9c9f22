/** From the storyboard to the body of a request, and from the answer's fields back to places. */

import { placeQuery } from "../add/place.js";
import { isBlank } from "./board.js";

/** A JSON object out of a field. @returns {{value: object, words: string}} words: what is wrong */
export function readExtra(text) {
  if (!text.trim()) return { value: {}, words: "" };
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return { value, words: "" };
    return { value: {}, words: 'Write a JSON object, such as {"seed": 7}.' };
  } catch (error) {
    return { value: {}, words: `This is no JSON: ${error.message}` };
  }
}

/** Options that were chosen, as they go into a model's input; only those that it has. */
export function chosenOptions(model, options) {
  const chosen = Object.entries(options).filter(([name, text]) => text && model.options[name]?.some((value) => JSON.stringify(value) === text));
  return Object.fromEntries(chosen.map(([name, text]) => [name, JSON.parse(text)]));
}

/**
 * @param {import("../models.js").Model} model
 * @param {string} id the model's name at its provider
 */
export function bodyOf(board, model, id) {
  const { options, extra, combine } = board.settings;
  const shared = { ...chosenOptions(model, options), ...readExtra(extra).value };
  const clips = board.clips.map((clip, index) => {
    const input = { ...shared, ...chosenOptions(model, clip.options), ...readExtra(clip.extra).value };
    const chained = index > 0 && clip.previous && model.image;
    return {
      prompt: clip.prompt.trim(),
      ...(chained && { from_previous: true }),
      ...(model.image && !chained && clip.image?.asset && { image_asset_id: clip.image.asset.id }),
      ...(model.last_frame && clip.last?.asset && { last_frame_asset_id: clip.last.asset.id }),
      ...(clip.seconds && { duration: Number(clip.seconds) }),
      ...(Object.keys(input).length && { input }),
    };
  });
  return {
    model: id, provider: model.provider, clips,
    ...(clips.length > 1 && { combine }),
    ...placeQuery(board.settings),
  };
}

/**
 * What cannot be sent: [{clip, name, words}], clip -1 for what holds for all.
 * @param {import("../models.js").Model} model
 */
export function faults(board, model, id) {
  const found = [];
  if (!id) found.push({ clip: -1, name: "model", words: "Name the model, as owner/model." });
  const shared = readExtra(board.settings.extra).words;
  if (shared) found.push({ clip: -1, name: "input", words: shared });
  board.clips.forEach((clip, index) => {
    const say = (name, words) => found.push({ clip: index, name, words });
    if (!clip.prompt.trim()) say("prompt", isBlank(clip) && index > 0 ? "Say what this clip shows, or remove it." : "Say what the shot shows.");
    if (model.needs_image && !clip.image && !(index > 0 && clip.previous)) say("image", "This model begins with an image: choose one.");
    const own = readExtra(clip.extra).words;
    if (own) say("input", own);
  });
  return found;
}

const NAMES = [[/^prompt/, "prompt"], [/last_frame/, "last"], [/image/, "image"], [/^duration/, "duration"], [/^input/, "input"]];

/** Where a field of the answer's is: {clip, name}. */
export function placeOf(field) {
  const [, index, rest = ""] = /^clips\[(\d+)\]\.?(.*)$/.exec(field) ?? [];
  if (index === undefined) return { clip: -1, name: { provider: "model", model: "model", project_id: "project", scene_id: "scene" }[field] ?? "all" };
  return { clip: Number(index), name: NAMES.find(([pattern]) => pattern.test(rest))?.[1] ?? (rest ? "input" : "clip") };
}
