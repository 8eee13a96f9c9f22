/**
 * One view at a time, named by the hash: `#/asset/as_1?from=trash`.
 *
 *   route(pattern, load, {nav})  pattern "/asset/:id"; load: () => import("./asset/view.js");
 *                                nav: the entry of the navigation that is current, "library"
 *   start()                      shows what the address says, and follows it from then on
 *   prefetch()                   loads the other views, when there is nothing else to do
 *   go(path, {replace})          go("/asset/as_1"); replace: Back does not come here again
 *   back(otherwise)              to where one came from; opened here directly: to `otherwise`
 *   here()                       the path and query that are shown, "/library?q=fox"
 *   retitle({view, share})       the parts of document.title; the router sets `view` by itself
 *
 * A view is a module with `mount(root, visit)`, called at each visit, loaded at the first:
 *   root    an empty <section>, in the document. It is thrown away afterwards: nothing to unmount.
 *   visit   {path, params, query: URLSearchParams, signal, keep(query), become(path)}
 *           signal  aborted when the visit ends: give it to every addEventListener, subscribe and
 *                   timer that is not on an element of the root's own
 *           keep    writes a query into the address without another visit: filters
 *           become  the address is another one from now on, without another visit: next in line
 * It may be async; when it is done the focus goes to the element it resolves with, or to its h1
 * (make one with `heading` of dom.js), which names the page, too. A visit by Back finds the scroll
 * position again: what a view wants to remember beyond that lives in its module. What it throws
 * is shown with a way to try again; so is a module that does not come, by itself once the
 * connection is back.
 */

import { request } from "./api.js";
import { closeDialogs } from "./dialog.js";
import { h } from "./dom.js";
import { live } from "./live.js";

// A page that is never idle gets its views all the same.
const PATIENCE = 5000;
const routes = [];
/** @type {Map<string, number>} where each entry of the history was scrolled to */
const scrolled = new Map();
const title = { view: "", share: null };
let ending = new AbortController();
let entry = "";
// How many visits of ours lie before this one in the history.
let depth = -1;
let turn = 0;

export function route(pattern, load, { nav }) {
  const names = [];
  const source = pattern.replace(/:(\w+)/g, (_, name) => (names.push(name), "([^/]+)"));
  routes.push({ pattern: new RegExp(`^${source}$`), names, load, nav });
}

export const here = () => (location.hash.startsWith("#/") ? location.hash.slice(1) : "/library");

export function go(path, { replace = false } = {}) {
  if (!replace) {
    location.hash = path;
    return;
  }
  history.replaceState(history.state, "", `#${path}`);
  visit();
}

export function back(otherwise) {
  if (history.state?.depth > 0) history.back();
  else go(otherwise, { replace: true });
}

export function retitle(parts) {
  Object.assign(title, parts);
  const share = title.share === null ? null : `${Math.floor(title.share * 100)} %`;
  document.title = [share, title.view, "Reelbase"].filter(Boolean).join(" · ");
}

export function start() {
  history.scrollRestoration = "manual";
  addEventListener("hashchange", visit);
  return visit();
}

/** One view after the other, so that going there is quick, and works without a connection. */
export async function prefetch() {
  if (navigator.connection?.saveData) return;
  for (const { load } of routes) {
    await idle();
    await load().catch(() => {});
  }
}

const idle = () =>
  new Promise((resolve) => {
    if (window.requestIdleCallback) requestIdleCallback(resolve, { timeout: PATIENCE });
    else setTimeout(resolve, 200);
  });

async function visit() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const mine = ++turn;
  // What they ask belongs to what was shown.
  closeDialogs();
  if (entry) scrolled.set(entry, scrollY);
  entry = history.state?.entry ?? crypto.getRandomValues(new Uint32Array(2)).join("");
  depth = history.state?.depth ?? depth + 1;
  const at = here();
  history.replaceState({ entry, depth }, "", `#${at}`);
  const [path, query] = at.split(/\?(.*)/s);
  const found = match(path);
  const root = h("section.view", { "data-view": found?.nav });
  try {
    if (!found) throw Object.assign(new Error("There is no such page."), { status: 404 });
    const module = await found.load().catch(() => loadAgain(found.load));
    if (mine !== turn) return;
    begin(root, found.nav);
    const { signal } = ending;
    const become = (now) => signal.aborted || history.replaceState({ entry, depth }, "", `#${now}`);
    const keep = (next) => {
      const words = new URLSearchParams(next).toString();
      become(words ? `${path}?${words}` : path);
    };
    const focus = await module.mount(root, { path, params: found.params, query: new URLSearchParams(query), signal, keep, become });
    if (mine === turn) arrive(root, focus);
  } catch (error) {
    if (mine !== turn) return;
    begin(root, found?.nav);
    root.replaceChildren(...broken(error));
    arrive(root);
    if (error.lost) for (const word of ["online", "reload"]) live.addEventListener(word, visit, { signal: ending.signal });
  }
}

/** A module that did not come is asked for once more: a server that answers may have been back just now. */
async function loadAgain(load) {
  const lost = await request("GET", "/session", { renews: false }).then(() => false, (error) => error.status === 0);
  if (lost) throw Object.assign(new Error("The connection is lost."), { lost });
  return load().catch(() => {
    throw Object.assign(new Error("This part of the page could not be loaded. It may be newer by now."), { stale: true });
  });
}

function match(path) {
  for (const { pattern, names, load, nav } of routes) {
    const found = pattern.exec(path);
    if (!found) continue;
    try {
      return { load, nav, params: Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(found[index + 1])])) };
    } catch {
      return null; // a "%" that encodes nothing
    }
  }
  return null;
}

/** Ends the visit before, and puts the new view in its place. */
function begin(root, nav) {
  ending.abort();
  ending = new AbortController();
  document.getElementById("view").replaceChildren(root);
  scrollTo(0, 0);
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === nav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function arrive(root, focus) {
  const first = root.querySelector("h1");
  retitle({ view: first?.textContent ?? "" });
  scrollTo(0, scrolled.get(entry) ?? 0);
  // A dialog that asks to sign in keeps the focus.
  if (!document.querySelector("dialog:modal")) (focus ?? first)?.focus({ preventScroll: true });
  if (!focus) return;
  const { top, bottom } = focus.getBoundingClientRect();
  if (bottom < 0 || top > innerHeight) focus.scrollIntoView({ block: "center" });
}

function broken(error) {
  const again = error.stale ? () => location.reload() : visit;
  const missing = error.status === 404;
  return [
    h("h1.view-title", { tabindex: -1 }, missing ? "Not found" : "This cannot be shown"),
    h("p.view-words", { role: "alert" }, error.message),
    h("p.card-buttons", {},
      !missing && h("button.secondary", { type: "button", onclick: again }, error.stale ? "Reload" : "Try again"),
      h("a.secondary", { href: "#/library" }, "To the library")),
  ];
}
