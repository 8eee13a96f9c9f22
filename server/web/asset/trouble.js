/**
 * What is wrong with a source that does not play, in words, and what helps.
 *
 *   troubleOf(asset)            what its state alone says, or null
 *   explain(asset, media)       → Promise: what an error of the element means; {fresh: asset} when
 *                               the asset has another URL by now, which may be tried
 *
 * `fixes` names what helps: save, retry, generate, download, reload, job, trash.
 */

import { get, local } from "../api.js";
import { kindWord } from "../format.js";

/** @typedef {{words: string, fixes: string[], calm?: boolean}} Trouble */

const past = (iso) => Boolean(iso) && new Date(iso) <= new Date();

/** @returns {Trouble | null} */
export function troubleOf(asset) {
  const why = asset.storage_error?.message ? `${asset.storage_error.message} ` : "";
  const job = asset.job_id ? ["job"] : [];
  const again = asset.prompt ? ["generate"] : [];
  switch (asset.storage_state) {
    case "pending":
      return { words: "It is on its way here, and is shown as soon as it is stored.", fixes: job, calm: true };
    case "url_only":
      if (!past(asset.source_expires_at)) return null;
      return { words: "It was never stored here, and the provider's own copy has run out. Saving asks the provider for a new one.", fixes: ["save", ...again, ...job] };
    case "unsaved":
      return { words: `It is generated, but not stored here, and no copy plays now. ${why}Saving asks the provider once more; nothing is generated again.`, fixes: ["save", ...job] };
    case "expired":
      if (asset.storage_error?.type === "lost") {
        const made = asset.role === "clip";
        const words = made ? "Saving asks the provider for a clip once more." : "It has to be brought here again.";
        return { words: `Its bytes were missing from the backup that this library was restored from. ${words}`, fixes: [...(made ? ["save"] : []), ...again, ...job] };
      }
      return { words: "The provider's copy was gone before it could be stored. Saving asks for it once more; if it is gone for good, it has to be generated again.", fixes: ["save", ...again, ...job] };
    case "failed":
      if (asset.role === "clip") return { words: why, fixes: [...again, ...job] };
      return { words: `The download failed. ${why}`, fixes: asset.job_id ? ["retry", "job"] : [] };
    default:
      if (asset.kind !== "other") return null;
      return { words: "This kind of file cannot be shown. It can be downloaded.", fixes: ["download"], calm: true };
  }
}

/**
 * @param {object} asset as it was when its source was set
 * @param {HTMLMediaElement | HTMLImageElement} media
 * @returns {Promise<Trouble | {fresh: object}>}
 */
export async function explain(asset, media) {
  const code = media.error?.code;
  let now;
  try {
    now = await get(`/assets/${asset.id}`);
  } catch (error) {
    if (error.status === 404) return { words: "It is not in the library any more. It may be in the trash.", fixes: ["trash"] };
    return { words: "The server cannot be reached. Check the connection.", fixes: ["reload"] };
  }
  const state = troubleOf(now);
  if (state) return state;
  // The link in the page has run out, or was revoked: there is another.
  if (local(now.url) !== local(asset.url)) return { fresh: now };
  if (now.storage_state === "url_only") {
    return { words: "The provider does not give its copy out now. Save it here, or try again.", fixes: ["save", "reload", "download"] };
  }
  if (code === MediaError.MEDIA_ERR_NETWORK) return { words: "The connection broke off while it was loading.", fixes: ["reload", "download"] };
  const what = `${kindWord(asset).toLowerCase()}${asset.codecs ? ` (${asset.codecs})` : ""}`;
  if (code === MediaError.MEDIA_ERR_DECODE) {
    return { words: `This browser gave up in the middle of this ${what}: it is damaged, or made in a way that the browser does not know. Every byte is here: download it to play it elsewhere.`, fixes: ["download", "reload"] };
  }
  return { words: `This browser cannot play this ${what}. Every byte is here: download it to play it elsewhere.`, fixes: ["download", "reload"] };
}
