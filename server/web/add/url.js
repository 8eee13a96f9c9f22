/** Add from URL: asks for an address, and has the server fetch what it shows. */

import { get, post } from "../api.js";
import { h } from "../dom.js";
import { list } from "../library/list.js";
import { live } from "../live.js";

/**
 * @param {{place: () => object, onDone: () => void, refused?: string | false}} given
 *   onDone: when the server has taken it; refused: why this key may not
 */
export function urlForm({ place, onDone, refused = false }) {
  const field = h("input", {
    id: "url", name: "url", type: "url", inputmode: "url", maxlength: 2048, placeholder: "https://…", autocomplete: "off",
    autocapitalize: "none", spellcheck: "false", "aria-describedby": "url-error url-help", oninput: () => say(""),
  });
  const error = h("p.form-error", { id: "url-error", role: "alert" });
  const button = h("button.primary", { type: "submit", "aria-disabled": refused && "true", "aria-describedby": refused && "add-may-not" }, "Add from URL");
  let sending = false;

  async function send(event) {
    event.preventDefault();
    if (sending) return undefined;
    if (refused) return void say(refused);
    const url = address(field.value.trim());
    if (!url) return refuse("Paste the address of a page or a file.");
    busy(true);
    try {
      const { task_id: id } = await post("/media/store", { url, ...place() });
      live.put(await get(`/jobs/${id}`));
      // It is listed from now on, before its bytes are here.
      list.refresh();
      onDone();
    } catch (problem) {
      refuse(problem.fields?.find((one) => one.field === "url")?.message ?? problem.message);
    }
    busy(false);
    return undefined;
  }

  function busy(yes) {
    sending = yes;
    button.setAttribute("aria-disabled", String(yes));
    button.textContent = yes ? "Sending…" : "Add from URL";
  }

  function refuse(words) {
    say(words);
    field.focus();
  }

  function say(words) {
    error.textContent = words;
    field.setAttribute("aria-invalid", String(Boolean(words)));
  }

  return h("form", { novalidate: true, onsubmit: send },
    h("div.field", {}, h("label", { for: "url" }, "Address"), field),
    h("p", { id: "url-help" }, "A page with a video, or a file: it is fetched and kept here, also after the page is closed."),
    error,
    h("div.buttons", {}, button));
}

/** What people leave out is put in front, as browsers do. */
const address = (text) => (!text || /^[a-z][a-z0-9+.-]*:/i.test(text) ? text : `https://${text}`);
