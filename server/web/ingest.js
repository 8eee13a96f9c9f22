/** Add from URL: asks for an address, and has the server fetch what it shows. */

import { get, post } from "./api.js";
import { $ } from "./dom.js";

/** @param {(job: object) => void} onJob */
export function acceptUrls(onJob) {
  const [dialog, form, field, go] = [$("from-url"), $("from-url-form"), $("url"), $("url-go")];
  let sending = false;

  $("add-url").addEventListener("click", () => {
    say("");
    field.value = "";
    dialog.showModal();
  });
  $("url-cancel").addEventListener("click", () => dialog.close());
  field.addEventListener("input", () => say(""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!sending) send();
  });

  async function send() {
    const url = address(field.value.trim());
    if (!url) return refuse("Paste the address of a page or a file.");
    busy(true);
    try {
      const { task_id: id } = await post("/media/store", { url });
      onJob(await get(`/jobs/${id}`));
      dialog.close();
    } catch (error) {
      refuse(error.fields?.find((one) => one.field === "url")?.message ?? error.message);
    }
    busy(false);
    return undefined;
  }

  function busy(yes) {
    sending = yes;
    go.setAttribute("aria-disabled", String(yes));
    go.textContent = yes ? "Sending…" : "Add";
  }

  function refuse(words) {
    say(words);
    field.focus();
  }

  function say(words) {
    $("url-error").textContent = words;
    field.setAttribute("aria-invalid", String(Boolean(words)));
  }
}

/** What people leave out is put in front, as browsers do. */
const address = (text) => (!text || /^[a-z][a-z0-9+.-]*:/i.test(text) ? text : `https://${text}`);
