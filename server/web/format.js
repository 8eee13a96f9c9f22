/** Values as words. */

const KINDS = { video: "Video", audio: "Audio", image: "Image", other: "File" };
const PUBLIC = "Public";
const ROLES = { upload: "Uploaded", clip: "Generated", combined: "Combined", download: "Downloaded" };

/** Seconds as on a counter: 0:04, 12:30, 1:02:03. */
export function timecode(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** A number of bytes, in units of 1000. */
export function bytes(size) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let [value, unit] = [size, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** How long ago, or the date. */
export function ago(iso) {
  const then = new Date(iso);
  const minutes = Math.floor((Date.now() - then) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return then.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** A moment, to the minute. */
export const moment = (iso) =>
  new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

export const percent = (share) => `${Math.floor(share * 100)} %`;
export const kindWord = (asset) => KINDS[asset.kind] ?? "File";
export const roleWord = (asset) =>
  asset.role === "download" && asset.storage_state !== "stored" ? "Download" : (ROLES[asset.role] ?? "Kept");

/** What people call an asset: its prompt while it has the name that was made from it. */
export function title(asset) {
  const letters = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
  const stem = letters(asset.filename.replace(/( \(\d+\)|-\d+)?\.[^.]+$/, ""));
  return asset.prompt && stem && letters(asset.prompt).startsWith(stem) ? asset.prompt : asset.filename;
}

/** Whether an asset's bytes are still elsewhere, or were. */
export const isUnsaved = (asset) => ["url_only", "unsaved", "expired"].includes(asset.storage_state);

/** What shows an asset as a picture: its poster, or an image that can be had; or null. */
export const pictureOf = (asset) =>
  asset.poster_url ?? (asset.kind === "image" && ["stored", "url_only"].includes(asset.storage_state) ? asset.url : null);

/** A word for an asset whose bytes are not here, or that everybody may see; or null. */
export function stateBadge(asset) {
  switch (asset.storage_state) {
    case "pending":
      return asset.role === "download" ? "On its way…" : "Storing…";
    case "url_only":
      return asset.source_expires_at ? `URL only, ${left(asset.source_expires_at)}` : "URL only";
    case "unsaved":
      return "Unsaved";
    case "expired":
      return "Expired";
    case "failed":
      return "Failed";
    default:
      return asset.visibility === "public" ? PUBLIC : null;
  }
}

/**
 * The marks on an asset; `brief` where there is little room.
 * @returns {{words: string, state: string, brief?: string}[]}
 */
export function badges(asset) {
  const state = stateBadge(asset);
  const counts = asset.storage_state === "url_only" && asset.source_expires_at;
  const found = state ? [{ words: state, state: asset.storage_state, brief: counts ? left(counts) : "" }] : [];
  if (asset.visibility === "public" && state !== PUBLIC) found.push({ words: PUBLIC, state: "stored" });
  if (asset.expires_at && !asset.deleted_at) {
    found.push({ words: `Deletes in ${until(asset.expires_at)}`, state: "leaving", brief: left(asset.expires_at) });
  }
  return found;
}

/** How long until a moment, by the second: "4:10 left". */
export const left = (iso) => (new Date(iso) < Date.now() ? "ended" : `${until(iso)} left`);

function until(iso) {
  const seconds = Math.max(0, Math.floor((new Date(iso) - Date.now()) / 1000));
  // What is kept for 7 days has 7 days left a moment later, too.
  return seconds < 48 * 3600 ? timecode(seconds) : `${Math.ceil(seconds / 86_400)} days`;
}

/** So many, with their noun: "1 item", "3 items". */
export const items = (count) => (count === 1 ? "1 item" : `${count.toLocaleString()} items`);
