/** What fills the volume: one's own part of it and, for an admin, the whole. */

import { get, remove } from "../api.js";
import { confirm } from "../dialog.js";
import { debounce, h } from "../dom.js";
import { bytes, percent } from "../format.js";
import { live } from "../live.js";
import { toast } from "../notice.js";
import { go } from "../router.js";
import { act, bar, count, sectionHead } from "./parts.js";

const ROLES = { upload: "Uploaded", clip: "Generated", combined: "Combined", download: "Downloaded", poster: "Posters" };

export async function mount(root, { signal }) {
  const sections = h("div.usage");
  root.append(...sectionHead("Usage", { current: "manage/usage" }), sections);
  const load = async () => {
    const [usage, ...never] = await Promise.all([
      get("/usage"),
      ...["failed", "expired"].map((state) => get("/assets", { storage_state: state, limit: 1 })),
    ]);
    if (signal.aborted) return;
    const had = sections.contains(document.activeElement);
    sections.replaceChildren(...show(usage, never.reduce((sum, page) => sum + page.matching, 0), load));
    if (had) root.querySelector("h1").focus();
  };
  const later = debounce(1000, () => !signal.aborted && load().catch(() => {}));
  for (const type of ["assets", "projects", "reload"]) live.addEventListener(type, later, { signal });
  await load();
}

function show(usage, never, load) {
  const { user, volume, system } = usage;
  return [
    mine(user),
    h("div.panels", {}, byProject(usage.by_project), byRole(usage.by_role)),
    ofVolume(volume, user),
    drafts(never, load),
    system && ofSystem(system),
  ].filter(Boolean);
}

const panel = (title, ...content) => h("section.panel", {}, h("h2.section-title", {}, title), ...content);

/** A line of a list of bars. */
function measure({ name, href, words, parts, whole }) {
  return h("li.measure", {},
    href ? h("a", { href }, name) : h("span", {}, name), h("span.measure-words", {}, words), bar(parts, whole));
}

function mine(user) {
  const used = user.bytes + user.trash_bytes;
  const parts = [{ size: user.bytes, tone: "used" }, { size: user.trash_bytes, tone: "trash" }];
  const trash = user.trash_assets ? h("a", { href: "#/manage/trash" }, `${count(user.trash_assets, "asset")} with ${bytes(user.trash_bytes)} in the trash`) : null;
  const quota = [];
  if (user.max_bytes !== null) quota.push(`Your quota is ${bytes(user.max_bytes)}: ${percent(used / Math.max(1, user.max_bytes))} are used, ${bytes(Math.max(0, user.max_bytes - used))} are left. `);
  if (user.max_assets !== null) quota.push(`You may have ${count(user.max_assets, "asset")}; there are ${(user.assets + user.trash_assets).toLocaleString()}. `);
  if (quota.length && user.trash_assets) quota.push("The trash counts, too. ");
  return panel("Yours",
    h("p.figure", {}, bytes(used)),
    h("p", {}, `${count(user.assets, "asset")} with ${bytes(user.bytes)}`, trash && ", and ", trash, ". ", ...quota),
    bar(parts, user.max_bytes ?? used),
    legend([["used", "In the library"], ["trash", "In the trash"]]));
}

function byProject(all) {
  const most = Math.max(1, ...all.map((one) => one.bytes + one.trash_bytes));
  return panel("By project", h("ul.measures", {}, ...all.map((one) => measure({
    name: one.name, href: `#/library?project=${one.project_id}`, words: `${bytes(one.bytes)}, ${count(one.assets, "asset")}`,
    parts: [{ size: one.bytes, tone: "used" }, { size: one.trash_bytes, tone: "trash" }], whole: most,
  }))));
}

const byRole = (all) => panel("By role", all.length ? roles(all) : h("p.hint", {}, "Nothing yet."));

function roles(all) {
  const most = Math.max(1, ...all.map((one) => one.bytes));
  return h("ul.measures", {}, ...all.filter((one) => one.assets).sort((a, b) => b.bytes - a.bytes).map((one) => measure({
    name: ROLES[one.role] ?? one.role, words: `${bytes(one.bytes)}, ${one.assets.toLocaleString()}`,
    parts: [{ size: one.bytes, tone: "used" }], whole: most,
  })));
}

function ofVolume(volume, user) {
  const used = volume.total_bytes - volume.free_bytes;
  const yours = Math.min(used, user.bytes + user.trash_bytes);
  return panel("The volume",
    h("p", {}, `${bytes(used)} of ${bytes(volume.total_bytes)} are used, ${bytes(volume.free_bytes)} are free. `,
      volume.accepting
        ? volume.min_free_bytes > 0 && `When less than ${bytes(volume.min_free_bytes)} are free, nothing more is taken in.`
        : h("strong.alarm", {}, `Less than ${bytes(volume.min_free_bytes)} are free: nothing more is taken in. Empty the trash, or have the volume extended.`)),
    bar([{ size: yours, tone: "used" }, { size: used - yours, tone: volume.accepting ? "rest" : "full" },
      { size: Math.max(0, volume.free_bytes - volume.min_free_bytes), tone: "free" }, { size: Math.min(volume.free_bytes, volume.min_free_bytes), tone: "reserve" }], volume.total_bytes),
    legend([["used", "Yours"], ["rest", "All else on it"], ["free", "Free"], ["reserve", "Kept free"]]));
}

/** What nobody will miss. */
function drafts(never, load) {
  async function sweep() {
    const sure = await confirm({
      title: "Sweep up the drafts?",
      words: "Clips of jobs that ended before they were combined, and what never got its bytes, go to the trash.",
      yes: "Sweep",
      danger: false,
    });
    if (!sure) return;
    await act(async () => {
      const gone = await remove("/drafts");
      if (gone.assets) toast(`${count(gone.assets, "file")} with ${bytes(gone.bytes)} went to the trash.`, { action: "See them", onAction: () => go("/manage/trash") });
      else toast("There were no drafts.");
      await load();
    });
  }
  return panel("Drafts",
    h("p", {}, never ? `${count(never, "asset")} never got ${never === 1 ? "its" : "their"} bytes. ` : "",
      "Clips of jobs that ended before they were combined, and what never got its bytes, can go to the trash at once."),
    h("p.panel-end", {}, h("button.secondary", { type: "button", onclick: sweep }, "Sweep up drafts…")));
}

function ofSystem(system) {
  const most = Math.max(1, ...system.users.map((one) => one.bytes + one.trash_bytes));
  const fact = (term, size, words) => [h("dt", {}, term), h("dd", {}, bytes(size), words && h("span.hint", {}, ` ${words}`))];
  return panel("The whole installation",
    h("h3", {}, "By user"),
    h("ul.measures", {}, ...system.users.map((one) => measure({
      name: one.name,
      words: `${bytes(one.bytes + one.trash_bytes)}${one.max_bytes === null ? "" : ` of ${bytes(one.max_bytes)}`}, ${count(one.assets, "asset")}`,
      parts: [{ size: one.bytes, tone: "used" }, { size: one.trash_bytes, tone: "trash" }],
      whole: Math.max(most, one.max_bytes ?? 0),
    }))),
    h("h3", {}, "By role"),
    roles(system.by_role),
    h("dl.facts", {},
      ...fact("Database file", system.database_bytes),
      ...fact("Stored", system.stored_bytes, "of media in it"),
      ...fact("Free pages", system.free_page_bytes, "in the file, used again by what comes next"),
      ...fact("Saved", system.dedup_saved_bytes, "by keeping equal files once"),
      ...fact("Reclaimable", system.reclaimable_bytes, "come back when every trash is emptied")));
}

const legend = (tones) => h("ul.legend", { "aria-hidden": "true" }, ...tones.map(([tone, words]) => h("li", { "data-tone": tone }, words)));
