/**
 * The models that can be chosen, by provider, until the server lists them itself. What a model
 * takes is decided by the server; this only offers what is known to work.
 */

const WIDE = ["16:9", "9:16"];
const ANY = ["16:9", "9:16", "1:1"];
const upTo = (first, last) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

/** @type {Record<string, {id: string, label: string, durations: number[], aspects: string[]}[]>} */
const MODELS = {
  sample: [{ id: "sample", label: "Sample", durations: upTo(1, 10), aspects: ANY }],
  replicate: [
    { id: "google/veo-3-fast", label: "Veo 3 Fast", durations: [4, 6, 8], aspects: WIDE },
    { id: "google/veo-3", label: "Veo 3", durations: [4, 6, 8], aspects: WIDE },
    { id: "google/veo-3.1-fast", label: "Veo 3.1 Fast", durations: [4, 6, 8], aspects: WIDE },
    { id: "google/veo-3.1", label: "Veo 3.1", durations: [4, 6, 8], aspects: WIDE },
    { id: "bytedance/seedance-1-lite", label: "Seedance 1 Lite", durations: upTo(2, 12), aspects: ANY },
    { id: "bytedance/seedance-1-pro", label: "Seedance 1 Pro", durations: upTo(2, 12), aspects: ANY },
    { id: "kwaivgi/kling-v3-video", label: "Kling 3", durations: upTo(3, 15), aspects: ANY },
    { id: "wan-video/wan-2.5-i2v", label: "Wan 2.5, from an image", durations: [5, 10], aspects: [] },
    { id: "lightricks/ltx-2-pro", label: "LTX-2 Pro", durations: [6, 8, 10], aspects: [] },
  ],
  fal: [
    { id: "fal-ai/ltx-2/text-to-video", label: "LTX-2", durations: [6, 8, 10], aspects: [] },
    { id: "fal-ai/ltx-2/image-to-video", label: "LTX-2, from an image", durations: [6, 8, 10], aspects: [] },
  ],
};

/** @param {string} provider */
export const modelsOf = (provider) => MODELS[provider] ?? [];

/** What is offered for a model that is not in the table. */
export const UNKNOWN = { id: "", label: "", durations: [4, 5, 6, 8, 10], aspects: [] };
