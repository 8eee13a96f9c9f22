/** Links to one asset: made with an expiry, copied, listed, revoked one by one. */

import { get, post, remove } from "../api.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { moment } from "../format.js";

const EXPIRIES = [["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"], ["31536000", "1 year"]];

/** @param {object} asset the one to be shared */
export function share(asset) {
  const expiry = h("select", { id: "expiry" },
    ...EXPIRIES.map(([value, words]) => h("option", { value, selected: value === "604800" }, words)));
  const url = h("input", { id: "share-url", readonly: true, onfocus: () => url.select() });
  const made = h("div", { id: "share-made", hidden: true }, h("label", { for: "share-url" }, "Link"), url);
  const state = h("p.share-state", { role: "status" });
  const links = h("ul.links");
  const section = h("div", { hidden: true }, h("h3", {}, "Links so far"), links);
  const done = h("button.secondary", { type: "button", onclick: () => dialog.close() }, "Done");
  const form = h("form", { id: "share-form", onsubmit: make },
    h("p", {}, "Anyone with the link can play this one file, without an account, until it expires or you revoke it."),
    h("label", { for: "expiry" }, "Works for"),
    h("div.inline-fields", {}, expiry, h("button.primary", { type: "submit" }, "Copy link")),
    made, state, section, h("div.buttons", {}, done));
  const dialog = openDialog({ title: "Copy a link", content: [form] });
  list();

  async function make(event) {
    event.preventDefault();
    try {
      const token = await post(`/assets/${asset.id}/tokens`, { expires_in: Number(expiry.value) });
      url.value = token.url;
      made.hidden = false;
      const until = `It works until ${moment(token.expires_at)}.`;
      state.textContent = (await copy(url)) ? `Copied. ${until}` : `Copy it from the field. ${until}`;
      list();
    } catch (error) {
      state.textContent = error.message;
    }
  }

  async function list() {
    try {
      const { items } = await get(`/assets/${asset.id}/tokens`);
      const alive = items.filter((one) => !one.revoked_at && new Date(one.expires_at) > new Date());
      section.hidden = alive.length === 0;
      links.replaceChildren(...alive.map(row));
    } catch {
      section.hidden = true;
    }
  }

  function row(token) {
    const used = token.uses ? `fetched ${token.uses === 1 ? "once" : `${token.uses} times`}` : "not fetched yet";
    const revoke = async () => {
      await remove(`/assets/${asset.id}/tokens/${token.id}`).then(
        () => (state.textContent = "Revoked."),
        (error) => (state.textContent = error.status === 404 ? "Revoked." : error.message),
      );
      await list();
      done.focus();
    };
    return h("li", {},
      h("span", {}, `Until ${moment(token.expires_at)}, ${used}`),
      h("button.quiet", { type: "button", onclick: revoke }, "Revoke"));
  }
}

async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    // Only https and localhost may write to the clipboard so; elsewhere the old way may do.
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}
