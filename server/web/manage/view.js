/** Manage: who is signed in, how full it is, how it looks, and the ways to the rest. */

import { get } from "../api.js";
import { $, h, icon, setText } from "../dom.js";
import { bytes, moment, percent } from "../format.js";
import { live } from "../live.js";
import { projects, session, setTheme, theme } from "../state.js";
import { bar, count, sectionHead } from "./parts.js";

const MAY = { read: "look", write: "change things", generate: "generate", admin: "manage everything" };
const THEMES = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]];

export function mount(root, { signal }) {
  const may = Object.keys(MAY).filter((scope) => session.scopes.includes(scope)).map((scope) => MAY[scope]);
  const words = h("p.gauge-words", {}, "…");
  const gauge = h("div");
  const ways = {
    projects: way("manage/projects", "frame", "Projects", "Scenes, in their order"),
    trash: way("manage/trash", "trash", "Trash", "What can be had back"),
    keys: way("manage/keys", "link", "API keys", "For scripts and other services"),
    users: way("manage/users", "manage", "Users", "Who may use this, and how much"),
  };
  if (!session.is_admin) delete ways.users;
  root.append(
    ...sectionHead("Manage", { current: "manage" }),
    h("a.panel.gauge", { href: "#/manage/usage" }, h("h2.section-title", {}, "Storage"), words, gauge),
    h("ul.panels.ways-on", {}, ...Object.values(ways).map(({ element }) => h("li", {}, element))),
    h("div.panels", {},
      h("section.panel", { "aria-labelledby": "look-title" },
        h("h2.section-title", { id: "look-title" }, "Look"),
        h("fieldset.choices", {},
          h("legend", {}, "Theme"),
          ...THEMES.map(([value, label]) =>
            h("label.choice", {},
              h("input", { type: "radio", name: "theme", value, checked: theme() === value, onchange: () => setTheme(value) }), label)))),
      h("section.panel", { "aria-labelledby": "account-title" },
        h("h2.section-title", { id: "account-title" }, "Account"),
        h("p", {}, "Signed in as ", h("strong", {}, session.name), "."),
        h("p.hint", {}, `The key of this browser may ${may.join(", ")}${session.expires_at ? `, until ${moment(session.expires_at)}` : ""}.`),
        h("p.panel-end", {}, h("button.secondary", { type: "button", onclick: () => $("sign-out").click() }, "Sign out of this browser")))),
  );

  const load = async () => {
    const usage = await get("/usage");
    if (signal.aborted) return;
    const { user, volume, system } = usage;
    const used = user.bytes + user.trash_bytes;
    const limit = user.max_bytes ?? volume.total_bytes;
    setText(words, user.max_bytes === null
      ? `${bytes(used)} are yours. The volume has ${bytes(volume.free_bytes)} of ${bytes(volume.total_bytes)} left.`
      : `${bytes(used)} of your ${bytes(user.max_bytes)}, ${percent(used / Math.max(1, user.max_bytes))}.`);
    const parts = [{ size: user.bytes, tone: "used" }, { size: user.trash_bytes, tone: "trash" }];
    if (user.max_bytes === null) parts.push({ size: volume.total_bytes - volume.free_bytes - used, tone: "rest" });
    gauge.replaceChildren(bar(parts, limit));
    ways.trash.say(user.trash_assets ? `${count(user.trash_assets, "asset")}, ${bytes(user.trash_bytes)}` : "Empty");
    ways.users?.say(count(system?.users.length ?? 1, "user"));
  };
  const tell = (error) => setText(words, error.message);
  live.addEventListener("reload", () => load().catch(tell), { signal });
  load().catch(tell);
  projects.ready().catch(() => {});
  projects.subscribe((all) => ways.projects.say(count(all.length, "project")), { signal });
  get("/keys").then(({ items }) => {
    const good = items.filter((one) => !one.revoked_at && !(one.expires_at && new Date(one.expires_at) < new Date()));
    ways.keys.say(`${count(good.length, "key")} in use`);
  }).catch(() => {});
}

function way(path, picture, title, hint) {
  const state = h("span.way-state");
  const element = h("a.panel.way", { href: `#/${path}` }, icon(picture),
    h("span.way-words", {}, h("span.way-title", {}, title), h("span.hint", {}, hint)), state);
  return { element, say: (words) => setText(state, words) };
}
