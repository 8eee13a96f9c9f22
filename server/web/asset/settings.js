/** Who may see an asset, and for how long it stays. */

import { patch } from "../api.js";
import { openDialog } from "../dialog.js";
import { h } from "../dom.js";
import { left, moment } from "../format.js";
import { announce, toast } from "../notice.js";
import { copyText } from "./clipboard.js";

const DAY = 86_400_000;
const TERMS = [["1", "In 1 day"], ["7", "In 7 days"], ["30", "In 30 days"], ["90", "In 90 days"]];

/**
 * @param {object} asset
 * @param {(asset: object) => void} set
 * @returns {HTMLElement[]}
 */
export function settings(asset, set) {
  async function change(wanted, words) {
    try {
      set(await patch(`/assets/${asset.id}`, wanted));
      announce(words);
    } catch (error) {
      toast(error.message, { bad: true });
      // As it was.
      open.checked = asset.visibility === "public";
      term.value = "now";
    }
  }

  const open = h("input", {
    id: "public", type: "checkbox", role: "switch", checked: asset.visibility === "public", "aria-describedby": "public-words",
    onchange: () => change({ visibility: open.checked ? "public" : "private" }, open.checked ? "Public" : "Private"),
  });
  const address = `${location.origin}/api/v3/assets/${asset.id}/data`;
  const copy = async () => toast((await copyText(address)) ? "The public address is copied." : `The public address: ${address}`);
  const term = h("select", { id: "expiry-choice", onchange: () => choose(term.value) },
    ...(asset.expires_at ? [h("option", { value: "now", selected: true }, `${left(asset.expires_at)}, ${moment(asset.expires_at)}`)] : []),
    h("option", { value: asset.expires_at ? "never" : "now", selected: !asset.expires_at }, "Never"),
    ...TERMS.map(([value, words]) => h("option", { value }, words)),
    h("option", { value: "date" }, "On a date…"));

  function choose(value) {
    if (value === "now") return undefined;
    if (value === "never") return change({ expires_at: null }, "It stays");
    if (value === "date") return askDate();
    return change({ expires_at: new Date(Date.now() + Number(value) * DAY).toISOString() }, "It deletes itself");
  }

  async function askDate() {
    const field = h("input", { id: "expiry-date", type: "datetime-local", min: localTime(Date.now() + 60_000), value: localTime(Date.now() + DAY), required: true });
    const { closed } = openDialog({
      title: "Delete it on",
      content: [
        h("form", { method: "dialog" },
          h("label", { for: "expiry-date" }, "Date and time"), field,
          h("p", {}, "From then on nobody can fetch it. It goes to the trash."),
          h("div.buttons", {},
            h("button.secondary", { value: "", formnovalidate: true }, "Cancel"),
            h("button.primary", { value: "yes" }, "Set"))),
      ],
    });
    term.value = "now";
    if ((await closed) === "yes" && field.value) await change({ expires_at: new Date(field.value).toISOString() }, "It deletes itself");
  }

  return [
    h("div.setting", {},
      h("label.switch", {}, open, h("span", {}, "Public")),
      h("p", { id: "public-words" }, asset.visibility === "public"
        ? "Anyone who has the address can see it, without an account. "
        : "Only you, and those you give a link to. ",
      asset.visibility === "public" && h("button.quiet.strong", { type: "button", onclick: copy }, "Copy the address"))),
    h("div.setting.inline", {}, h("label", { for: "expiry-choice" }, "Deletes itself"), term),
  ];
}

/** A moment as such fields want it. */
function localTime(at) {
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
