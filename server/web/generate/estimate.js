/** What a shot may cost and take: what the same model did before, and nothing when it did not. */

import { get } from "../api.js";

const LAST = 100;

/** Asks what was spent so far. @returns {Promise<(model: object, id: string, clips: number) => string[]>} sentences */
export async function estimator() {
  const [jobs, spending] = await Promise.all([get("/jobs", { active: false, limit: LAST }), get("/spending")]).catch(() => [{ items: [] }, null]);
  const clips = jobs.items.filter((job) => job.kind === "generate").flatMap((job) => job.clips.map((clip) => ({ ...clip, model: `${job.provider} ${job.model}` })));

  return (model, id, count) => {
    if (model.provider === "sample") return [];
    const same = clips.filter((one) => one.model === `${model.provider} ${id}` && one.status === "completed");
    return [cost(same, count), time(same), limit(spending, count)].filter(Boolean);
  };
}

const mean = (values) => values.reduce((sum, one) => sum + one, 0) / values.length;
const among = (count) => (count === 1 ? "the one clip that this model made for you so far" : `the last ${count} clips that this model made for you`);

function cost(clips, count) {
  const known = clips.map((one) => one.cost).filter((one) => one != null);
  if (!known.length) return "";
  return `About ${dollars(mean(known) * count)}: the mean of ${among(known.length)}${count > 1 ? `, ${count} times` : ""}.`;
}

function time(clips) {
  const known = clips.map((one) => one.seconds).filter((one) => one);
  if (!known.length) return "";
  const took = mean(known);
  const words = took < 1 ? "less than a second" : took < 90 ? `${Math.round(took)} s` : `${Math.round(took / 60)} min`;
  return `About ${words} of work for each clip: the mean of ${among(known.length)}.`;
}

function limit(spending, count) {
  if (spending?.daily_limit == null) return "";
  const left = Math.max(0, spending.daily_limit - spending.last_24_hours.predictions);
  return left < count || left <= 10 ? `${left} of ${spending.daily_limit} predictions are left for these 24 hours.` : "";
}

export const dollars = (amount) => `$${amount < 0.1 ? amount.toFixed(3) : amount.toFixed(2)}`;
