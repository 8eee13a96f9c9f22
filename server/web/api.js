/**
 * Talking to the API.
 *
 *   get(path, query)  post(path, json, {query, headers})  patch(path, json)  remove(path, query)
 *       below /api/v3; the answer's JSON, null for 204
 *   local(url), downloadOf(asset)   an asset's own address, to be shown or saved
 *
 * Errors are `Problem`s: `message` in words for people, `status` (0: no answer), `code` to go by
 * (docs/api.md), `fields` [{field, message}]. A session that has ended (401) is asked for over the
 * page, then the request is repeated: nobody who calls has to care.
 */

const ROOT = "/api/v3";
// A network that has gone without a word answers nothing, ever.
const LONGEST = 60_000;
// A refusal of somebody who is signed in after all is not repeated for ever.
const TRIES = 4;

/** What the server (or the way to it) says went wrong. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {{detail?: string, title?: string, code?: string, errors?: {field: string, message: string}[]}} body
   */
  constructor(status, body = {}) {
    super(body.detail || body.title || `The server answered with ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.fields = body.errors ?? [];
  }
}

const unreachable = () =>
  new Problem(0, { code: "offline", detail: "The server cannot be reached. Check the connection." });

let renew = null;

/** @param {() => Promise<void>} ask resolves when somebody has signed in again */
export function onSessionEnd(ask) {
  renew = ask;
}

/** Has somebody sign in again, over the page. */
export const signInAgain = async () => renew?.();

/**
 * One request. A session that has ended is asked for again, then the request is repeated.
 * @param {string} method
 * @param {string} path below /api/v3, or absolute when it begins with "//"
 * @param {{json?: unknown, query?: Record<string, unknown>, headers?: Record<string, string>, renews?: boolean}} options
 */
export async function request(method, path, { json, query, headers = {}, renews = true } = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  if (body !== undefined) headers = { ...headers, "Content-Type": "application/json" };
  for (let tries = 1; ; tries += 1) {
    let response;
    let text;
    try {
      const signal = method === "GET" ? AbortSignal.timeout(LONGEST) : undefined;
      response = await fetch(address(path, query), { method, body, headers, signal });
      text = await response.text();
    } catch {
      throw unreachable();
    }
    if (response.status === 401 && renews && renew && tries < TRIES) {
      await renew();
      continue;
    }
    if (!response.ok) throw new Problem(response.status, parsed(text) ?? {});
    return text ? parsed(text) : null;
  }
}

export const get = (path, query) => request("GET", path, { query });
export const post = (path, json, options) => request("POST", path, { json, ...options });
export const patch = (path, json) => request("PATCH", path, { json });
export const remove = (path, query) => request("DELETE", path, { query });

/**
 * Sends a file as it is; resolves with the asset. `signal` cancels (AbortError).
 * @param {Blob} file
 * @param {string} filename
 * @param {{query?: {project_id?: string, scene_id?: string}, signal?: AbortSignal, onProgress?: (share: number) => void}} options
 */
export async function upload(file, filename, { query, signal, onProgress } = {}) {
  for (let tries = 1; ; tries += 1) {
    const { status, text } = await send(file, { filename, ...query }, signal, onProgress);
    if (status === 401 && renew && tries < TRIES) {
      await renew();
      continue;
    }
    if (status >= 300) throw new Problem(status, parsed(text) ?? {});
    return parsed(text);
  }
}

// fetch() cannot tell how much of a body has gone out; XMLHttpRequest can.
function send(file, query, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const aborted = () => new DOMException("Canceled", "AbortError");
    if (signal?.aborted) return reject(aborted());
    const xhr = new XMLHttpRequest();
    xhr.open("POST", address("/assets", query));
    xhr.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    xhr.upload.onprogress = (event) => onProgress?.(event.loaded / Math.max(1, event.total));
    xhr.onload = () => resolve({ status: xhr.status, text: xhr.responseText });
    xhr.onerror = () => reject(unreachable());
    xhr.onabort = () => reject(aborted());
    signal?.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(file);
    return undefined;
  });
}

function address(path, query) {
  const url = path.startsWith("//") ? path.slice(1) : ROOT + path;
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value != null && value !== "");
  return pairs.length ? `${url}?${new URLSearchParams(pairs)}` : url;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * The path and query of one of our URLs, so that it works by whichever name the page was opened.
 * @param {string} url
 */
export function local(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

/** Where an asset can be downloaded, by its own name. */
export function downloadOf(asset) {
  const url = new URL(local(asset.url), location.origin);
  url.searchParams.set("download", "1");
  return url.pathname + url.search;
}
