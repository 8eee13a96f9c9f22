/** API keys: made, shown once, revoked; and what signs messages to webhooks. */

import { get, remove } from "../api.js";
import { confirm } from "../dialog.js";
import { arrange, h, icon, setText } from "../dom.js";
import { ago, moment } from "../format.js";
import { session } from "../state.js";
import { makeKey } from "./newkey.js";
import { act, copyField, count, keyed, sectionHead } from "./parts.js";

// So many keys are named in a question.
const NAMED = 5;
const SCOPES = { read: "Read", write: "Write", generate: "Generate", admin: "Admin" };

export async function mount(root, { query, signal, keep }) {
  let owners = new Map();
  let known = [];
  const good = h("ul.lines", { "aria-label": "Keys" });
  const bad = h("ul.lines", { "aria-label": "Keys that are not good any more" });
  const summary = h("summary");
  const past = h("details.past", { hidden: true }, summary, bad);
  root.append(
    ...sectionHead("API keys", {
      current: "manage/keys",
      words: "Scripts and other services show a key with each request. It is shown once, when it is made.",
      actions: [h("button.primary", { type: "button", onclick: () => create() }, icon("plus"), "New key")],
    }),
    good, past, webhooks());
  const showGood = keyed(good, (first) => row(first));
  const showBad = keyed(bad, (first) => row(first));

  async function load() {
    const [{ items }, users] = await Promise.all([get("/keys"), session.is_admin ? get("/users") : null]);
    if (signal.aborted) return;
    owners = new Map((users?.items ?? []).map((one) => [one.id, one]));
    known = items;
    const sorted = items.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
    const past_ = sorted.filter(isPast);
    showGood(sorted.filter((one) => !isPast(one)));
    showBad(past_);
    past.hidden = !past_.length;
    setText(summary, `${count(past_.length, "key")} revoked or expired`);
  }

  const isAdmins = (key) => !isPast(key) && key.scopes.includes("admin") && owners.get(key.user_id)?.is_admin;
  /** The last by which there is an admin. */
  const isLast = (key) => isAdmins(key) && known.filter(isAdmins).length === 1;

  async function create(userId) {
    if (await makeKey([...owners.values()], userId)) await act(load);
  }

  function row(first) {
    let key = first;
    const name = h("span.line-name");
    const hint = h("code.key-hint");
    const scopes = h("span.chips");
    const ours = h("span.chip.strong", {}, "This browser");
    const head = h("span.line-head");
    const meta = h("span.line-meta");
    const off = h("button.quiet", { type: "button", onclick: revoke }, "Revoke…");
    async function revoke() {
      const made = madeBy(key, known).filter((one) => !isPast(one));
      const cascade = h("input", { type: "checkbox" });
      const sure = await confirm({
        title: `Revoke ${key.name}?`,
        content: made.length ? [h("label.choice", {}, cascade, h("span", {}, alsoThose(made)))] : [],
        words: [
          `Whatever uses the key ${key.hint} is refused from then on, browsers that signed in with it too.`,
          isOurs(key) && "You are signed in with it here: you will be signed out.",
          isLast(key) && "It is the last good key of an admin: the next one is made on the server, by reelbase keys create.",
          "This cannot be undone.",
        ].filter(Boolean).join(" "),
        yes: "Revoke",
      });
      const query = cascade.checked ? { cascade: true } : {};
      if (sure && (await act(() => remove(`/keys/${key.id}`, query)))) await act(load);
    }
    function update(next) {
      key = next;
      const owner = key.user_id === session.user_id ? null : (owners.get(key.user_id)?.name ?? "somebody else");
      setText(name, key.name);
      setText(hint, key.hint);
      scopes.replaceChildren(...key.scopes.map((one) => h("span.chip", {}, SCOPES[one] ?? one)));
      const used = key.last_used_at ? `Last used ${ago(key.last_used_at)}` : "Never used";
      const maker = key.created_by ? `Made by ${key.created_by.name}. ` : "";
      setText(meta, `${owner ? `Of ${owner}. ` : ""}${maker}${used}, ${ends(key)}`);
      arrange(head, [name, hint, scopes, isOurs(key) && ours].filter(Boolean));
      off.hidden = isPast(key) || !isWithin(key);
      off.setAttribute("aria-label", `Revoke ${key.name}`);
    }
    return {
      element: h("li.line", {}, h("div.line-words", {}, head, meta), h("div.line-tools", {}, off)),
      update,
    };
  }

  await load();
  if (query.has("new")) {
    // Once: not after a reload.
    keep({});
    create(query.get("new"));
  }
}

const isOurs = (key) => key.id === session.key_id;
/** Whether it can do no more than the key of this session: else the server would refuse. */
const isWithin = (key) =>
  session.scopes.includes("write") && (session.is_admin || key.scopes.every((one) => session.scopes.includes(one)));
const isPast = (key) => Boolean(key.revoked_at) || Boolean(key.expires_at && new Date(key.expires_at) < new Date());

/** What a key made, and what that made in turn. @param {object[]} known */
function madeBy(key, known) {
  const made = known.filter((one) => one.created_by?.id === key.id);
  return made.flatMap((one) => [one, ...madeBy(one, known)]);
}

function alsoThose(made) {
  const names = made.slice(0, NAMED).map((one) => one.name).join(", ");
  const rest = made.length > NAMED ? ` and ${(made.length - NAMED).toLocaleString()} more` : "";
  return `Also revoke the ${made.length === 1 ? "key" : count(made.length, "key")} that it made: ${names}${rest}`;
}

function ends(key) {
  if (key.revoked_at) return `revoked ${ago(key.revoked_at)}`;
  if (!key.expires_at) return "good until it is revoked";
  return isPast(key) ? `expired ${moment(key.expires_at)}` : `good until ${moment(key.expires_at)}`;
}

function webhooks() {
  const place = h("div");
  const reveal = async () => {
    await act(async () => {
      const { secret } = await get("/webhook-secret");
      place.replaceChildren(copyField("Secret", secret));
      place.querySelector("input").focus();
      button.remove();
    });
  };
  const button = h("button.secondary", { type: "button", onclick: reveal }, "Show the secret");
  place.append(button);
  return h("section.panel", {},
    h("h2.section-title", {}, "Webhooks"),
    h("p", {}, "Jobs tell a webhook_url of yours how they go. This secret signs what they send, as Standard Webhooks have it: check it before you believe a message."),
    place);
}
