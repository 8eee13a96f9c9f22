/** Users, for admins: made, limited, deleted. */

import { get, patch, post, remove } from "../api.js";
import { confirm } from "../dialog.js";
import { h, icon, setText } from "../dom.js";
import { ago, bytes, left } from "../format.js";
import { session } from "../state.js";
import { act, bar, count, field, formDialog, keyed, sectionHead, undoable } from "./parts.js";

const UNITS = [["1000000", "MB"], ["1000000000", "GB"], ["1000000000000", "TB"]];

export async function mount(root, { signal }) {
  if (!session.is_admin) throw Object.assign(new Error("Only an admin sees who uses this."), { status: 404 });
  const here = h("ul.lines", { "aria-label": "Users" });
  const gone = h("ul.lines", { "aria-label": "Deleted users" });
  const lost = h("section.part", { hidden: true }, h("h2.section-title", {}, "Deleted"), gone);
  root.append(
    ...sectionHead("Users", {
      current: "manage/users",
      words: "Each has a library of their own. A quota counts the trash, too; the numbers here are without it.",
      actions: [h("button.primary", { type: "button", onclick: create }, icon("plus"), "New user")],
    }),
    here, lost);
  const show = keyed(here, row);
  const showLost = keyed(gone, lostRow);
  const load = async () => {
    const [users, deleted] = await Promise.all([get("/users"), get("/users", { trashed: true })]);
    if (signal.aborted) return;
    show(users.items);
    showLost(deleted.items);
    lost.hidden = !deleted.items.length;
  };

  async function create() {
    if (await userDialog("New user", "Create", null, (json) => post("/users", json))) await act(load);
  }

  function row(first) {
    let user = first;
    const name = h("span.line-name");
    const mark = h("span.chip.strong", {}, "Admin");
    const you = h("span.chip", {}, "You");
    const meta = h("span.line-meta");
    const gauge = h("div");
    const change = h("button.quiet", { type: "button", onclick: edit }, "Change");
    const key = h("a.quiet", { href: `#/manage/keys?new=${user.id}` }, "New key");
    const away = h("button.quiet", { type: "button", onclick: drop }, "Delete…");
    async function edit() {
      if (await userDialog(`Change ${user.name}`, "Save", user, (json) => patch(`/users/${user.id}`, json))) await act(load);
    }
    async function drop() {
      const sure = await confirm({
        title: `Delete ${user.name}?`,
        words: `${count(user.assets, "asset")} (${bytes(user.bytes)}) go with them; their keys and links stop at once. They can be had back for some days.`,
        yes: "Delete",
      });
      if (!sure) return;
      await act(async () => {
        await remove(`/users/${user.id}`);
        undoable(`${user.name} is deleted.`, async () => {
          await post(`/users/${user.id}/restore`);
          await load();
        });
        await load();
      });
    }
    function update(next) {
      user = next;
      setText(name, user.name);
      mark.hidden = !user.is_admin;
      you.hidden = user.id !== session.user_id;
      const quota = [
        user.max_bytes === null ? bytes(user.bytes) : `${bytes(user.bytes)} of ${bytes(user.max_bytes)}`,
        user.max_assets === null ? count(user.assets, "asset") : `${user.assets.toLocaleString()} of ${count(user.max_assets, "asset")}`,
      ];
      setText(meta, `${quota.join(", ")}${user.max_bytes === null && user.max_assets === null ? ", no quota" : ""}`);
      gauge.replaceChildren(...(user.max_bytes === null ? [] : [bar([{ size: user.bytes, tone: user.bytes > user.max_bytes ? "full" : "used" }], user.max_bytes)]));
      for (const [control, words] of [[change, "Change"], [key, "Make a key for"], [away, "Delete"]]) control.setAttribute("aria-label", `${words} ${user.name}`);
      away.hidden = user.id === session.user_id;
    }
    return {
      element: h("li.line", {}, h("div.line-words", {}, h("span.line-head", {}, name, mark, you), meta, gauge), h("div.line-tools", {}, change, key, away)),
      update,
    };
  }

  function lostRow(first) {
    let user = first;
    const name = h("span.line-name");
    const meta = h("span.line-meta");
    const back = h("button.quiet.strong", { type: "button", onclick: () => act(async () => { await post(`/users/${user.id}/restore`); await load(); }) }, "Restore");
    const off = h("button.quiet", { type: "button", onclick: drop }, "Delete for good…");
    async function drop() {
      const sure = await confirm({ title: `Delete ${user.name} for good?`, words: "With all that is theirs. This cannot be undone.", yes: "Delete for good" });
      if (sure && (await act(() => remove(`/users/${user.id}`, { permanent: true })))) await act(load);
    }
    function update(next) {
      user = next;
      setText(name, user.name);
      setText(meta, `Deleted ${ago(user.deleted_at)}, ${left(user.purge_at)}`);
      back.setAttribute("aria-label", `Restore ${user.name}`);
      off.setAttribute("aria-label", `Delete ${user.name} for good`);
    }
    return { element: h("li.line", {}, h("div.line-words", {}, name, meta), h("div.line-tools", {}, back, off)), update };
  }

  await load();
}

/** @param {object | null} user as it is @param {(json: object) => Promise<object>} save */
function userDialog(title, yes, user, save) {
  const name = h("input", { required: true, maxlength: 200, value: user?.name ?? "", autocomplete: "off", autofocus: true });
  const admin = h("input", { type: "checkbox", checked: user?.is_admin ?? false });
  const [unit] = UNITS.findLast(([factor]) => (user?.max_bytes ?? 0) >= Number(factor)) ?? UNITS[1];
  const size = h("input", { type: "number", min: 0, step: "any", inputmode: "decimal", placeholder: "No limit", value: user?.max_bytes == null ? "" : String(user.max_bytes / Number(unit)) });
  const units = h("select", { "aria-label": "Unit of the quota" }, ...UNITS.map(([factor, words]) => h("option", { value: factor, selected: factor === unit }, words)));
  const most = h("input", { type: "number", min: 0, step: 1, inputmode: "numeric", placeholder: "No limit", value: user?.max_assets ?? "" });
  return formDialog({
    title,
    yes,
    content: [
      field("Name", name),
      field("Storage at most", size, "Empty: no limit but the volume's.", units),
      field("Assets at most", most),
      h("label.choice", {}, admin, h("span", {}, "Admin", h("span.hint", {}, ", sees and manages everything"))),
    ],
    save: () => save({
      name: name.value.trim(),
      is_admin: admin.checked,
      max_bytes: size.value === "" ? null : Math.round(Number(size.value) * Number(units.value)),
      max_assets: most.value === "" ? null : Number(most.value),
    }),
  });
}
