/** A job as words. */

import { bytes, timecode } from "../format.js";
import { isActive } from "../live.js";

const WORDS = {
  queued: "Queued",
  submitting: "Sending to the model",
  processing: "Generating",
  storing: "Storing",
  completed: "Done",
  failed: "Failed",
  canceled: "Canceled",
};
const DOWNLOAD_WORDS = { ...WORDS, processing: "Downloading" };

export const wordsOf = (job) => (job.kind === "download" ? DOWNLOAD_WORDS : WORDS);

/** What people call it: what its first clip shows, or where it is from. */
export const titleOf = (job) =>
  job.clips[0]?.prompt ?? job.source_url?.replace(/^https?:\/\//, "") ?? job.outputs[0]?.filename ?? "Download";

/** Where it is, in a word: of one clip, where that clip is. */
export function statusWord(job) {
  const phase = job.clips.length === 1 && isActive(job) ? job.clips[0].status : job.status;
  if (phase === "completed" && isActive(job)) return wordsOf(job)[job.status];
  if (job.status === "completed" && !job.stored) return "Done, not stored";
  if (job.status === "storing" && job.combine && job.clips.every((clip) => clip.status === "completed")) return "Joining the clips";
  return wordsOf(job)[phase] ?? job.status;
}

/** What a prediction waits for, or how far its bytes are; and that it is not the first attempt. */
export function clipWords(clip) {
  const { queue_position: place, bytes_stored: done, bytes_total: total } = clip;
  return [
    clip.status === "processing" && place != null && `${place} in the queue before it`,
    clip.status === "storing" && done && (total ? `${bytes(done)} of ${bytes(total)}` : bytes(done)),
    clip.attempts > 1 && `attempt ${clip.attempts}`,
  ].filter(Boolean).join(", ");
}

/** A shot that begins with the last frame of the one before waits for that. */
export const waitsFor = (job, clip) =>
  clip.status === "queued" && clip.from_previous && job.clips[clip.index - 1]?.status !== "completed" ? `waits for clip ${clip.index}` : "";

/** How fast a download comes and how long it takes; while it waits for another attempt, why. */
export function rateOf(job) {
  if (job.status === "queued") return job.notes.at(-1) ?? "";
  const speed = job.speed ? `${bytes(job.speed)}/s` : "";
  const left = job.eta == null ? "" : `${timecode(job.eta)} left`;
  return [speed, left].filter(Boolean).join(", ");
}

/** When what has failed in a temporary way is tried again; the notes say what that was. */
export function nextTryOf(job) {
  if (!isActive(job) || !job.next_try_at || !job.notes.length) return "";
  const seconds = Math.ceil((new Date(job.next_try_at) - Date.now()) / 1000);
  if (seconds <= 0) return "Next try now";
  return `Next try in ${seconds < 100 ? `${seconds} s` : timecode(seconds)}`;
}

export const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) : "");

/** What can be tried again: of several clips, how many. */
export function retryWord(job) {
  const again = job.clips.filter((clip) => ["failed", "canceled"].includes(clip.status));
  if (job.clips.length < 2 || !again.length || again.length === job.clips.length) return "Retry";
  const [first] = again;
  if (again.length === 1) return `Retry the ${first.status} clip`;
  return `Retry ${again.length} ${again.every((clip) => clip.status === first.status) ? `${first.status} ` : ""}clips`;
}
