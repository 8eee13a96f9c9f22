/** Links to one asset: made with an expiry and a purpose, copied, listed with who came, revoked. */

import { get, post, remove } from "../api.js";
import { openDialog } from "../dialog.js";
import { h, setText } from "../dom.js";
import { bytes, moment, title } from "../format.js";
import { copyText } from "./clipboard.js";

const EXPIRIES = [["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"], ["31536000", "1 year"]];

/**
 * @param {object} asset the one to be shared
 * @param {(asset: object) => void} onRenewed every link was revoked: it has other URLs now
 */
export function share(asset, onRenewed) {
  const expiry = h("select", { id: "expiry" },
    ...EXPIRIES.map(([value, words]) => h("option", { value, selected: value === "604800" }, words)));
  const purpose = h("input", { id: "purpose", maxlength: 100, autocomplete: "off", placeholder: "share", "aria-describedby": "purpose-help" });
  const url = h("input", { id: "share-url", readonly: true, onfocus: () => url.select() });
  const made = h("div", { id: "share-made", hidden: true }, h("label", { for: "share-url" }, "Link"), url);
  const state = h("p.share-state", { role: "status" });
  const links = h("ul.links");
  const none = h("p", {}, "No link works now.");
  const all = h("button.quiet.grave", { type: "button", onclick: revokeAll }, "Revoke all");
  const done = h("button.secondary", { type: "button", onclick: () => dialog.close() }, "Done");
  const form = h("form", { id: "share-form", onsubmit: make },
    h("p", {}, "Anyone with the link can play this one file, without an account, until it expires or you revoke it."),
    h("div.share-fields", {},
      h("div.field", {}, h("label", { for: "expiry" }, "Works for"), expiry),
      h("div.field", {}, h("label", { for: "purpose" }, "For whom, for what"), purpose),
      h("button.primary", { type: "submit" }, "Copy link")),
    h("p.visually-hidden", { id: "purpose-help" }, "A word by which you know the link again."),
    made, state);
  const list = h("section.share-list", { "aria-labelledby": "links-title" },
    h("div.dialog-head", {}, h("h3", { id: "links-title" }, "Links"), all), none, links);
  const dialog = openDialog({ title: `Links to ${title(asset)}`, content: [form, list, h("div.buttons", {}, done)], wide: true });
  load();

  async function make(event) {
    event.preventDefault();
    try {
      const token = await post(`/assets/${asset.id}/tokens`, { expires_in: Number(expiry.value), purpose: purpose.value.trim() || "share" });
      url.value = token.url;
      made.hidden = false;
      const until = `It works until ${moment(token.expires_at)}.`;
      state.textContent = (await copyText(token.url)) ? `Copied. ${until}` : `Copy it from the field. ${until}`;
      await load();
    } catch (error) {
      state.textContent = error.message;
    }
  }

  async function load() {
    try {
      const { items } = await get(`/assets/${asset.id}/tokens`, { limit: 100 });
      const alive = items.filter((one) => !one.revoked_at && new Date(one.expires_at) > new Date());
      const over = items.filter((one) => !alive.includes(one) && one.accesses.length);
      none.hidden = alive.length > 0;
      if (!all.dataset.sure) name(alive.length);
      const opened = new Set([...links.querySelectorAll("details[open]")].map((one) => one.dataset.token));
      links.replaceChildren(...[...alive, ...over].map((one) => row(one, alive.includes(one), opened.has(one.id))));
    } catch (error) {
      setText(state, error.message);
    }
  }

  function row(token, alive, opened) {
    const until = alive ? `until ${moment(token.expires_at)}` : token.revoked_at ? `revoked ${moment(token.revoked_at)}` : `expired ${moment(token.expires_at)}`;
    const used = token.uses ? `Fetched ${token.uses === 1 ? "once" : `${token.uses} times`}` : "Not fetched yet";
    return h(alive ? "li" : "li.over", {},
      h("div.link-head", {},
        h("div.link-words", {}, h("strong", {}, token.purpose), h("span", {}, until)),
        alive && h("button.quiet", { type: "button", "aria-label": `Revoke the link for ${token.purpose}, ${until}`, onclick: () => revoke(token) }, "Revoke")),
      token.accesses.length
        ? h("details", { "data-token": token.id, open: opened }, h("summary", {}, used), visits(token))
        : h("p", {}, used));
  }

  function visits(token) {
    const cells = (one) => [
      h("td", {}, moment(one.at)), h("td", {}, one.ip ?? "unknown"),
      h("td", { title: one.user_agent }, one.user_agent ?? "unknown"),
      h("td", {}, one.outcome === "ok" ? String(one.status) : `${one.status}, ${one.outcome.replaceAll("_", " ")}`),
      h("td", {}, bytes(one.bytes)),
    ];
    return h("div.visits", { tabindex: 0, role: "region", "aria-label": `Who fetched the link for ${token.purpose}` },
      h("table", {},
        h("thead", {}, h("tr", {}, ...["When", "From", "With", "Answer", "Bytes"].map((words) => h("th", { scope: "col" }, words)))),
        h("tbody", {}, ...token.accesses.map((one) => h("tr", {}, ...cells(one))))));
  }

  async function revoke(token) {
    try {
      await remove(`/assets/${asset.id}/tokens/${token.id}`);
    } catch (error) {
      if (error.status !== 404) return void (state.textContent = error.message);
    }
    state.textContent = "Revoked: the link works no more.";
    await load();
    done.focus();
    return undefined;
  }

  /** There is something to revoke without links, too: the URLs in the API's answers. */
  function name(many) {
    setText(all, many ? "Revoke all" : "Revoke the API's URLs");
  }

  /** Those that the page itself plays by, too: it gets another. */
  async function revokeAll() {
    if (all.dataset.sure !== "yes") {
      all.dataset.sure = "yes";
      all.textContent = "Every link stops, and every URL that the API gave out. Revoke all?";
      return;
    }
    delete all.dataset.sure;
    name(links.querySelector(":scope > li:not(.over)"));
    try {
      await remove(`/assets/${asset.id}/tokens`);
      onRenewed(await get(`/assets/${asset.id}`));
      state.textContent = "Every link to it is revoked.";
      made.hidden = true;
    } catch (error) {
      state.textContent = error.message;
    }
    await load();
  }
}
