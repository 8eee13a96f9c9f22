/** Who is signed in: by key, by the one-time link, and again when a session has ended. */

import { onSessionEnd, request, signInAgain } from "./api.js";
import { $ } from "./dom.js";
import { setSession } from "./state.js";

/**
 * @typedef {{user_id: string, key_id: string, name: string, is_admin: boolean, scopes: string[],
 *   expires_at: string | null}} Session
 */

// Timers cannot wait longer.
const LONGEST = 2 ** 31 - 1;

/** @type {Session | null} */
let current = null;
/** @type {Promise<void> | null} */
let renewing = null;
let ending = 0;

/**
 * Takes the secret of a one-time link out of the address bar, before anything else happens.
 * @returns {string | null}
 */
export function takeLink() {
  const secret = new URLSearchParams(location.hash.slice(1)).get("signin");
  if (secret !== null) history.replaceState(null, "", location.pathname + location.search);
  return secret;
}

/**
 * Signs in with what there is: a link, else the cookie, else by asking.
 * @param {string | null} link
 * @returns {Promise<Session>}
 */
export async function begin(link) {
  onSessionEnd(() => (renewing ??= renew().finally(() => (renewing = null))));
  let words = "";
  // Always, and first: index.html has asked already, and a browser complains of answers in vain.
  const asked = request("GET", "/session", { renews: false }).catch((error) => ((words ||= error.message), null));
  if (link !== null) {
    try {
      return entered(await request("POST", "/session", { json: { link }, renews: false }));
    } catch (error) {
      words = error.message;
    }
  }
  // Nothing: nobody is signed in.
  const known = await asked;
  return known ? entered(known) : ask({ words });
}

/** Who finds the session ended says so; several at once get one dialog. */
async function renew() {
  const before = current;
  // What was asked before somebody signed in again, here or in another tab, is refused after it.
  const known = await request("GET", "/session", { renews: false });
  const now = known ? entered(known) : await ask({ lead: "Your session has ended. Sign in to go on where you were." });
  // Somebody else's library must not stay on the screen.
  if (!before || now.user_id === before.user_id) return;
  location.reload();
  // And what the one before asked for must not be done in this one's name.
  await new Promise(() => {});
}

/** Ends the session, here and on the server. */
export async function signOut() {
  await request("DELETE", "/session", { renews: false });
  // What this person has seen leaves the memory with the page.
  location.reload();
}

function entered(session) {
  current = session;
  setSession(session);
  clearTimeout(ending);
  // The time of the session is up: it is asked for before anything is tried in vain.
  const left = new Date(session.expires_at) - Date.now() + 1000;
  if (session.expires_at) ending = setTimeout(() => signInAgain().catch(() => {}), Math.min(Math.max(left, 10_000), LONGEST));
  return session;
}

/** Asks for a key until there is a good one. */
function ask({ lead, words = "" }) {
  return new Promise((resolve) => {
    const [dialog, form, key, button] = [$("gate"), $("gate-form"), $("key"), $("sign-in")];
    if (lead) $("gate-lead").textContent = lead;
    dialog.classList.toggle("again", Boolean(lead));
    say(words);
    const refuse = (event) => event.preventDefault();
    const reopen = () => dialog.showModal();
    const submit = async (event) => {
      event.preventDefault();
      const given = key.value.trim();
      if (!given) return say("Enter your API key.");
      button.disabled = true;
      try {
        const session = entered(await request("POST", "/session", { json: { key: given }, renews: false }));
        form.removeEventListener("submit", submit);
        dialog.removeEventListener("cancel", refuse);
        dialog.removeEventListener("close", reopen);
        key.value = "";
        say("");
        dialog.close();
        resolve(session);
      } catch (error) {
        say(error.message);
        key.select();
      } finally {
        button.disabled = false;
      }
      return undefined;
    };
    form.addEventListener("submit", submit);
    dialog.addEventListener("cancel", refuse);
    dialog.addEventListener("close", reopen);
    dialog.showModal();
    key.focus();
  });
}

function say(words) {
  $("gate-error").textContent = words;
  $("key").setAttribute("aria-invalid", String(Boolean(words)));
}
