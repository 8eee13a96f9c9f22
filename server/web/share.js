/** Links to one asset: made with an expiry, copied, listed, revoked one by one. */

import { get, post, remove } from "./api.js";
import { $, h } from "./dom.js";
import { moment } from "./format.js";

let asset = null;

/** @param {object} one the asset to be shared */
export function share(one) {
  asset = one;
  $("share-made").hidden = true;
  $("share-state").textContent = "";
  $("links-section").hidden = true;
  $("share").showModal();
  list();
}

$("share-close").addEventListener("click", () => $("share").close());
$("share-url").addEventListener("focus", () => $("share-url").select());
$("share-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const made = await post(`/assets/${asset.id}/tokens`, { expires_in: Number($("expiry").value) });
    $("share-url").value = made.url;
    $("share-made").hidden = false;
    const until = `It works until ${moment(made.expires_at)}.`;
    $("share-state").textContent = (await copy(made.url)) ? `Copied. ${until}` : `Copy it from the field. ${until}`;
    list();
  } catch (error) {
    $("share-state").textContent = error.message;
  }
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only https and localhost may write to the clipboard so; elsewhere the old way may do.
    $("share-url").focus();
    $("share-url").select();
    return document.execCommand("copy");
  }
}

async function list() {
  const of = asset.id;
  try {
    const { items } = await get(`/assets/${of}/tokens`);
    if (asset.id !== of) return;
    const alive = items.filter((one) => !one.revoked_at && new Date(one.expires_at) > new Date());
    $("links-section").hidden = alive.length === 0;
    $("links").replaceChildren(...alive.map(row));
  } catch {
    $("links-section").hidden = true;
  }
}

function row(token) {
  const used = token.uses ? `fetched ${token.uses === 1 ? "once" : `${token.uses} times`}` : "not fetched yet";
  const revoke = async () => {
    await remove(`/assets/${asset.id}/tokens/${token.id}`).catch((error) => {
      if (error.status !== 404) $("share-state").textContent = error.message;
    });
    $("share-state").textContent ||= "Revoked.";
    await list();
    $("share-close").focus();
  };
  return h("li", {},
    h("span", {}, `Until ${moment(token.expires_at)}, ${used}`),
    h("button.quiet", { type: "button", onclick: revoke }, "Revoke"));
}
