/** What is known of an asset: rows of a <dl>. */

import { h, icon } from "../dom.js";
import { bytes, kindWord, moment, roleWord, stateBadge, title } from "../format.js";
import { providerWord } from "../models.js";
import { toast } from "../notice.js";
import { projects } from "../state.js";
import { copyText } from "./clipboard.js";

/**
 * @param {object} asset
 * @param {object | null} job the one that made it, when it is known
 * @returns {HTMLElement[]}
 */
export function facts(asset, job) {
  const size = asset.width && asset.height ? `${asset.width} × ${asset.height}` : null;
  const clip = job?.clips.find((one) => one.asset_id === asset.id || one.outputs.includes(asset.id));
  const seed = clip?.input?.seed;
  const cost = asset.role === "clip" ? clip?.cost : job?.cost;
  const project = projects.value?.find((one) => one.id === asset.project_id)?.name;
  const model = job?.model && [job.model, job.provider && providerWord(job.provider)].filter(Boolean).join(", ");
  // Where its bytes are is one thing, who may see them another.
  const state = stateBadge({ ...asset, visibility: "private" }) ?? "Stored";
  const rows = [
    ["State", asset.visibility === "public" ? `${state}, public` : state],
    ["Trouble", asset.storage_error?.message],
    ["Prompt", asset.prompt, "prompt"],
    ["File", title(asset) === asset.filename ? null : asset.filename],
    ["Kind", `${kindWord(asset)}, ${roleWord(asset).toLowerCase()}`],
    ["Model", model],
    ["Seed", seed],
    ["Cost", cost ? `$${cost.toFixed(cost < 1 ? 3 : 2)}` : null],
    ["Made in", clip?.seconds ? `${Math.max(1, Math.round(clip.seconds))} s` : null],
    ["Length", asset.duration ? `${asset.duration.toFixed(2)} s` : null],
    ["Picture", size && asset.fps ? `${size}, ${Number(asset.fps.toFixed(2))} fps` : size],
    ["Codecs", asset.codecs],
    ["Type", asset.content_type],
    ["Size", asset.size == null ? null : h("span", { title: `${asset.size.toLocaleString()} bytes` }, bytes(asset.size))],
    ["Made", moment(asset.created_at)],
    ["Project", project && h("a", { href: `#/library?project=${asset.project_id}` }, project)],
    ["Job", asset.job_id && h("a", { href: `#/jobs/${asset.job_id}` }, asset.job_id)],
    ["From", asset.role === "download" ? asset.source_url : null],
    ["Reference", asset.reference],
    ["Storage key", asset.storage_key, "key"],
    ["SHA-256", asset.sha256, "hash"],
  ];
  return rows
    .filter(([, value]) => value != null && value !== "")
    .flatMap(([name, value, copied]) => [
      h("dt", {}, name),
      copied
        ? h("dd.copied", {}, h(`span.${copied}`, {}, value), copyButton(name, value))
        : h("dd", {}, value instanceof Node ? value : String(value)),
    ]);
}

function copyButton(name, value) {
  const copy = async () => toast((await copyText(value)) ? `${name} copied.` : "The browser does not let this page copy. Select it instead.");
  return h("button.icon-button", { type: "button", "aria-label": `Copy the ${name === "SHA-256" ? name : name.toLowerCase()}`, title: "Copy", onclick: copy }, icon("copy"));
}
