/** Links to one asset: made with an expiry and a purpose, copied, listed with who came, revoked. */

import { get, post, remove } from "../api.js";
import { openDialog } from "../dialog.js";
import { arrange, h, setText } from "../dom.js";
import { bytes, moment, title } from "../format.js";
import { copyText } from "./clipboard.js";

const EXPIRIES = [["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"], ["31536000", "1 year"]];
// No event tells who fetches a link.
const AGAIN = 5000;

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
  const all = h("button.quiet.grave", { type: "button", "aria-describedby": "links-all", onclick: revokeAll }, "Revoke all");
  const stops = h("p.hint", { id: "links-all" });
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
    h("div.dialog-head", {}, h("h3", { id: "links-title" }, "Links"), all), none, links, stops);
  const dialog = openDialog({ title: `Links to ${title(asset)}`, content: [form, list, h("div.buttons", {}, done)], wide: true });
  const rows = new Map();
  let turns = 0;
  load();
  const clock = setInterval(() => document.hidden || load({ quietly: true }), AGAIN);
  dialog.closed.then(() => clearInterval(clock));

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

  /** As they are by now. `quietly`: what cannot be had is had the next time. */
  async function load({ quietly = false } = {}) {
    const turn = ++turns;
    try {
      const { items } = await get(`/assets/${asset.id}/tokens`, { limit: 100 });
      // Whoever revoked one meanwhile has a later answer.
      if (turn === turns) show(items);
    } catch (error) {
      if (!quietly) setText(state, error.message);
    }
  }

  function show(items) {
    const alive = items.filter((one) => !one.revoked_at && new Date(one.expires_at) > new Date());
    const over = items.filter((one) => !alive.includes(one) && one.accesses.length);
    const held = links.contains(document.activeElement) && document.activeElement;
    none.hidden = alive.length > 0;
    if (!all.dataset.sure) name(alive.length);
    for (const one of items) {
      if (!rows.has(one.id)) rows.set(one.id, row(one));
      rows.get(one.id).update(one, alive.includes(one));
    }
    arrange(links, [...alive, ...over].map((one) => rows.get(one.id).element));
    // One that has ended takes its button along.
    if (held && !held.checkVisibility()) done.focus();
  }

  /** Made once: the list is loaded again under whoever reads it. */
  function row(token) {
    const until = h("span");
    const off = h("button.quiet", { type: "button", onclick: () => revoke(token) }, "Revoke");
    const unused = h("p", {}, "Not fetched yet");
    const used = h("summary");
    const visits = h("tbody");
    const head = h("div.link-head", {}, h("div.link-words", {}, h("strong", {}, token.purpose), until), off);
    const log = h("details", {}, used,
      h("div.visits", { tabindex: 0, role: "region", "aria-label": `Who fetched the link for ${token.purpose}` },
        h("table", {},
          h("thead", {}, h("tr", {}, ...["When", "From", "With", "Answer", "Bytes"].map((words) => h("th", { scope: "col" }, words)))),
          visits)));
    const element = h("li");
    let told = "";

    function update({ expires_at: end, revoked_at: revoked, uses, accesses }, alive) {
      const words = alive ? `until ${moment(end)}` : revoked ? `revoked ${moment(revoked)}` : `expired ${moment(end)}`;
      element.classList.toggle("over", !alive);
      setText(until, words);
      off.hidden = !alive;
      off.setAttribute("aria-label", `Revoke the link for ${token.purpose}, ${words}`);
      setText(used, `Fetched ${uses === 1 ? "once" : `${uses} times`}`);
      arrange(element, [head, accesses.length ? log : unused]);
      const now = JSON.stringify(accesses);
      if (told !== now) visits.replaceChildren(...accesses.map(visit));
      told = now;
    }

    return { element, update };
  }

  function visit(one) {
    return h("tr", {},
      h("td", {}, moment(one.at)), h("td", {}, one.ip ?? "unknown"),
      h("td", { title: one.user_agent }, one.user_agent ?? "unknown"),
      h("td", {}, one.outcome === "ok" ? String(one.status) : `${one.status}, ${one.outcome.replaceAll("_", " ")}`),
      h("td", {}, bytes(one.bytes)));
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
    setText(all, many ? "Revoke all" : "Revoke URLs given by the API");
    setText(stops, `${many ? "Revoke all also stops" : "Revoking stops"} the addresses of this file that listings and jobs gave to apps and players; they get new ones at their next request.`);
  }

  /** Those that the page itself plays by, too: it gets another. */
  async function revokeAll() {
    if (all.dataset.sure !== "yes") {
      all.dataset.sure = "yes";
      setText(all, links.querySelector(":scope > li:not(.over)")
        ? "Every link stops, and every URL given by the API. Revoke all?"
        : "Every URL given by the API stops. Revoke them?");
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
