/** What helps when a source does not play: see trouble.js for what is offered when. */

import { post } from "../api.js";
import { draft } from "../generate/draft.js";
import { live } from "../live.js";
import { list } from "../library/list.js";
import { toast } from "../notice.js";
import { go } from "../router.js";
import { saving } from "../saving.js";

/**
 * @param {string} name one of trouble.js's fixes
 * @param {object} asset
 */
export async function fix(name, asset) {
  switch (name) {
    case "save":
      return saving.save([asset]);
    case "retry":
      return retry(asset);
    case "generate":
      draft.prompt = asset.prompt;
      return go("/generate");
    case "job":
      return go(`/jobs/${asset.job_id}`);
    case "trash":
      return go("/manage/trash");
    default:
      return undefined;
  }
}

/** Download again what could not be had. */
async function retry(asset) {
  try {
    live.put(await post(`/jobs/${asset.job_id}/retry`));
    await list.renew(asset.id);
  } catch (error) {
    toast(error.message, { bad: true });
  }
}
