/** A new API key: asked for in one dialog, shown in the next, this once. */

import { post } from "../api.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { moment } from "../format.js";
import { session } from "../state.js";
import { copyField, field, formDialog } from "./parts.js";

const DAY = 86_400_000;
const SCOPES = [
  ["read", "Read", "list and watch"], ["write", "Write", "upload, change, share, delete"],
  ["generate", "Generate", "have videos made, which costs"], ["admin", "Admin", "everything, of everybody"],
];
const LIFE = [["", "Until it is revoked"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"], ["date", "Until a day…"]];

/**
 * @param {{id: string, name: string, is_admin: boolean}[]} users for whom there may be one; of an admin only
 * @param {string} [userId] whom it is for at first
 * @returns {Promise<object | null>} the key
 */
export async function makeKey(users, userId = session.user_id) {
  const name = h("input", { required: true, maxlength: 200, autocomplete: "off", placeholder: "What will use it?", autofocus: true });
  const whose = h("select", {}, ...users.map((one) => h("option", { value: one.id, selected: one.id === userId }, one.id === session.user_id ? `${one.name} (you)` : one.name)));
  // A key can give no more than the one that makes it.
  const offered = SCOPES.filter(([scope]) => session.scopes.includes(scope));
  const scopes = h("fieldset.choices", {}, h("legend", {}, "It may"),
    ...offered.map(([value, label, hint]) => h("label.choice", {},
      h("input", { type: "checkbox", value, checked: value !== "admin" }), h("span", {}, label, h("span.hint", {}, `, ${hint}`)))));
  const all = scopes.querySelector('[value="admin"]');
  /** Only who is an admin may have a key that is one's. */
  const limit = () => {
    const owner = users.find((one) => one.id === whose.value);
    if (!all || !owner) return;
    all.disabled = !owner.is_admin;
    if (all.disabled) all.checked = false;
  };
  whose.addEventListener("change", limit);
  limit();
  const life = h("select", {}, ...LIFE.map(([value, words]) => h("option", { value }, words)));
  const day = h("input", { type: "date", min: new Date(Date.now() + DAY).toISOString().slice(0, 10) });
  const until = field("Last day", day);
  until.hidden = true;
  life.addEventListener("change", () => {
    until.hidden = life.value !== "date";
    day.required = !until.hidden;
  });

  const key = await formDialog({
    title: "New API key",
    yes: "Make the key",
    content: [
      field("Name", name), users.length > 1 && field("For", whose), scopes, field("Good for", life), until,
    ].filter(Boolean),
    save() {
      const chosen = [...scopes.querySelectorAll(":checked")].map((one) => one.value);
      if (!chosen.length) throw new Error("Choose what the key may do.");
      return post("/keys", { name: name.value.trim(), scopes: chosen, user_id: users.length > 1 ? whose.value : null, expires_at: end(life.value, day.value) });
    },
  });
  if (key) await reveal(key);
  return key;
}

function end(life, day) {
  if (life === "date") return new Date(`${day}T23:59:59`).toISOString();
  return life ? new Date(Date.now() + Number(life) * DAY).toISOString() : null;
}

function reveal(key) {
  const dialog = openDialog({
    title: `The key ${key.name}`,
    firm: true,
    content: [
      h("p.warn", {}, "Copy it now: it is not kept, and nobody can show it again."),
      copyField("The new key", key.key),
      h("p.hint", {}, key.expires_at ? `Good until ${moment(key.expires_at)}.` : "Good until it is revoked."),
      h("div.buttons", {}, h("button.primary", { type: "button", onclick: () => dialog.close() }, "I have it")),
    ],
  });
  return dialog.closed;
}
