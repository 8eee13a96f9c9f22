/** The trash: what was deleted, until it goes for good. */

import { get, post, remove } from "../api.js";
import { confirm } from "../dialog.js";
import { $, debounce, h, setText } from "../dom.js";
import { ago, bytes, left } from "../format.js";
import { live } from "../live.js";
import { announce, toast } from "../notice.js";
import { projects, service } from "../state.js";
import { act, count, keyed, sectionHead } from "./parts.js";
import { trashTile } from "./trashed.js";

const PAGE = 60;
// So many ids one request may name.
const MOST = 200;
// So many projects are asked for their scenes at once.
const ABREAST = 6;

export async function mount(root, { signal }) {
  let [assets, cursor, usage] = [[], null, null];
  let containers = [];
  /** @type {Set<string>} ids of the chosen assets */
  const chosen = new Set();

  const words = h("span");
  const all = h("button.secondary", { type: "button", onclick: restoreAll }, "Restore all");
  const empty = h("button.secondary.grave", { type: "button", onclick: emptyTrash }, "Empty the trash…");
  const rows = h("ul.lines", { "aria-label": "Projects and scenes in the trash" });
  const grid = h("ul.grid", { "aria-label": "Assets in the trash" });
  const more = h("button.secondary", { type: "button", hidden: true, onclick: () => act(next) }, "Load more");
  const chooseAll = h("input", { type: "checkbox", onchange: chooseEvery });
  const tally = h("span.tally", { role: "status" });
  const back = h("button.secondary", { type: "button", onclick: () => restore([...chosen]) }, "Restore");
  const away = h("button.danger", { type: "button", onclick: () => forGood([...chosen]) }, "Delete for good…");
  const chooser = h("div.chooser", {},
    h("label.choice", {}, chooseAll, "Choose all"), tally, h("span.spread"), back, away);
  const part = (title, ...content) => h("section.part", {}, h("h2.section-title", {}, title), ...content);
  const holders = part("Projects and scenes", rows);
  const loose = part("Assets", chooser, grid, h("p.more", {}, more));
  const nothing = h("div.empty", { hidden: true },
    h("p.empty-title", {}, "The trash is empty."),
    h("p", {}, "What you delete stays here for some days, so that it can be had back."));
  root.append(...sectionHead("Trash", { current: "manage/trash", words, actions: [all, empty] }), holders, loose, nothing);

  const showRows = keyed(rows, holderRow);
  const showTiles = keyed(grid, (first) => trashTile(first, {
    restore: (one) => restore([one.id]),
    forGood: (one) => forGood([one.id]),
    choose: (one, yes) => {
      if (yes) chosen.add(one.id);
      else chosen.delete(one.id);
      tell();
    },
    isChosen: (one) => chosen.has(one.id),
  }));
  const later = debounce(300, () => !signal.aborted && load().catch(() => {}));
  for (const type of ["assets", "projects", "scenes", "reload"]) live.addEventListener(type, later, { signal });
  // How long is left goes on.
  const clock = setInterval(() => show(), 30_000);
  signal.addEventListener("abort", () => clearInterval(clock));
  await load();

  async function load() {
    const page = () => get("/assets", { trashed: true, limit: Math.max(PAGE, Math.min(MOST, assets.length)) });
    const [one, gone, used] = await Promise.all([page(), trashedContainers(), get("/usage")]);
    if (signal.aborted) return;
    [assets, cursor, containers, usage] = [one.items, one.next_cursor, gone, used];
    for (const id of chosen) if (!assets.some((asset) => asset.id === id)) chosen.delete(id);
    show();
  }

  async function next() {
    const page = await get("/assets", { trashed: true, limit: PAGE, cursor });
    const known = new Set(assets.map((one) => one.id));
    assets.push(...page.items.filter((one) => !known.has(one.id)));
    cursor = page.next_cursor;
    show();
  }

  function show() {
    const none = !assets.length && !containers.length;
    const had = document.activeElement;
    showRows(containers);
    showTiles(assets);
    holders.hidden = !containers.length;
    loose.hidden = !assets.length;
    more.hidden = !cursor;
    nothing.hidden = !none;
    all.hidden = none;
    empty.hidden = none;
    const { trash_assets: many, trash_bytes: size } = usage.user;
    setText(words, none ? "" : `${count(many, "asset")}, ${bytes(size)}. Each is deleted for good when its days are over.`);
    tell();
    if (had !== document.body && !had.checkVisibility()) $("view").querySelector("h1").focus();
  }

  function tell() {
    setText(tally, chosen.size ? `${chosen.size} chosen` : "");
    back.hidden = !chosen.size;
    away.hidden = !chosen.size;
    chooseAll.checked = chosen.size > 0 && chosen.size === assets.length;
    chooseAll.indeterminate = chosen.size > 0 && chosen.size < assets.length;
  }

  function chooseEvery() {
    chosen.clear();
    if (chooseAll.checked) for (const one of assets) chosen.add(one.id);
    showTiles(assets);
    tell();
  }

  async function restore(ids) {
    const done = await act(async () => {
      for (let at = 0; at < ids.length; at += MOST) await post("/assets/restore", { ids: ids.slice(at, at + MOST) });
      toast(ids.length === 1 ? "Restored." : `Restored ${count(ids.length, "asset")}.`);
    });
    if (done) await after();
  }

  async function forGood(ids) {
    const size = assets.filter((one) => ids.includes(one.id)).reduce((sum, one) => sum + (one.size ?? 0), 0);
    const only = ids.length === 1 ? assets.find((one) => one.id === ids[0]) : null;
    const sure = await confirm({
      title: only ? `Delete ${only.filename} for good?` : `Delete ${count(ids.length, "asset")} for good?`,
      words: `${bytes(size)}. This cannot be undone.`,
      yes: "Delete for good",
    });
    if (!sure) return;
    const done = await act(async () => {
      for (let at = 0; at < ids.length; at += MOST) await post("/assets/delete", { ids: ids.slice(at, at + MOST), permanent: true });
      toast("Deleted for good.");
    });
    if (done) await after();
  }

  async function restoreAll() {
    const done = await act(async () => {
      // What holds things brings them along.
      for (const one of containers) await post(`${pathOf(one)}/restore`).catch(alreadyBack);
      for (;;) {
        const { items } = await get("/assets", { trashed: true, limit: MOST });
        if (!items.length) break;
        await post("/assets/restore", { ids: items.map((one) => one.id) });
      }
      toast("Everything is back.");
    });
    if (done) await after();
  }

  async function emptyTrash() {
    const { trash_assets: many, trash_bytes: size } = usage.user;
    const also = containers.length ? ` and ${containers.length === 1 ? "what held some of them" : `${containers.length} projects and scenes`}` : "";
    const sure = await confirm({
      title: "Empty the trash?",
      words: `${count(many, "asset")}${also} are deleted for good. Up to ${bytes(size)} come back. This cannot be undone.`,
      yes: "Empty the trash",
    });
    if (!sure) return;
    const done = await act(async () => {
      const gone = await remove("/trash");
      toast(`The trash is empty. ${bytes(gone.bytes)} come back.`);
    });
    if (done) await after();
  }

  async function after() {
    await load().catch(() => {});
    service.refresh().catch(() => {});
    if (nothing.hidden === false) announce("The trash is empty.");
  }

  /** A project, or a scene. */
  function holderRow(first) {
    let one = first;
    const name = h("span.line-name");
    const meta = h("span.line-meta");
    const again = h("button.quiet.strong", { type: "button", onclick: bring }, "Restore");
    const off = h("button.quiet", { type: "button", onclick: drop }, "Delete for good…");
    async function bring() {
      if (await act(() => post(`${pathOf(one)}/restore`))) {
        toast(`${one.name} is back.`);
        await after();
      }
    }
    async function drop() {
      const sure = await confirm({
        title: `Delete ${one.name} for good?`,
        words: `${count(one.assets, "asset")} in it, ${bytes(one.bytes)}. This cannot be undone.`,
        yes: "Delete for good",
      });
      if (sure && (await act(() => remove(pathOf(one), { permanent: true })))) {
        toast("Deleted for good.");
        await after();
      }
    }
    function update(next) {
      one = next;
      const kind = one.project ? `Scene of ${one.project.name}` : "Project";
      setText(name, one.name);
      setText(meta, `${kind}, ${count(one.assets, "asset")}, ${bytes(one.bytes)}. Deleted ${ago(one.deleted_at)}, ${left(one.purge_at)}`);
      again.setAttribute("aria-label", `Restore ${one.name}`);
      off.setAttribute("aria-label", `Delete ${one.name} for good`);
    }
    return { element: h("li.line", {}, h("div.line-words", {}, name, meta), h("div.line-tools", {}, again, off)), update };
  }
}

const pathOf = (one) => (one.project ? `/projects/${one.project.id}/scenes/${one.id}` : `/projects/${one.id}`);

function alreadyBack(error) {
  if (error.status !== 404) throw error;
}

/** The projects in the trash; and the scenes in it, of those that are not. */
async function trashedContainers() {
  const [gone, here] = await Promise.all([get("/projects", { trashed: true }), projects.refresh()]);
  const lost = [];
  for (let at = 0; at < here.length; at += ABREAST) {
    const some = here.slice(at, at + ABREAST);
    const found = await Promise.all(some.map((project) => get(`/projects/${project.id}/scenes`, { trashed: true })));
    lost.push(...found.flatMap(({ items }, index) => items.map((one) => ({ ...one, project: some[index] }))));
  }
  return [...gone.items, ...lost].sort((a, b) => (a.deleted_at < b.deleted_at ? 1 : -1));
}
