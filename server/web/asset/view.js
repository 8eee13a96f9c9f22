/** The screening room: one asset, large, with what is known of it and all that can be done to it. */

import { get } from "../api.js";
import { h, icon, setText } from "../dom.js";
import { title } from "../format.js";
import { list } from "../library/list.js";
import { live } from "../live.js";
import { toast } from "../notice.js";
import { back, go, retitle } from "../router.js";
import { saving } from "../saving.js";
import { projects } from "../state.js";
import { actions } from "./actions.js";
import { facts } from "./facts.js";
import { KEYS, press } from "./keys.js";
import { settings } from "./settings.js";
import { fix } from "./fixes.js";
import { Stage } from "./stage.js";

// One that is further down than so many pages is shown alone.
const FAR = 8;

export async function mount(root, { params, signal, become }) {
  let asset = list.find(params.id) ?? (await get(`/assets/${params.id}`));
  /** The job that made it: the model, the cost. */
  let job = null;
  const stage = new Stage(fix, signal);
  const button = (id, label, name, onclick, key) =>
    h("button.icon-button", { id, type: "button", "aria-label": label, title: `${label} (${key})`, onclick }, icon(name));
  const place = h("span.viewer-place", { role: "status" });
  const previous = button("previous", "Previous", "previous", () => step(-1), "Shift P");
  const next = button("next", "Next", "next", () => step(1), "Shift N");
  const name = h("h1", { id: "viewer-title", tabindex: -1 });
  const prompt = h("p.viewer-prompt");
  const acts = h("div.actions", { id: "actions", role: "group", "aria-label": "Actions" });
  const sharing = h("div.settings");
  const known = h("dl.facts", { id: "facts" });
  root.append(
    h("div.viewer", { id: "viewer" },
      h("div.screening", {},
        h("div.viewer-nav", {}, button("viewer-close", "Close", "close", leave, "Esc"), place, previous, next),
        stage.element),
      h("div.side", { id: "side" },
        name, prompt, acts, sharing, h("h2", {}, "Details"), known,
        h("details.keys", {}, h("summary", {}, "Keys"),
          h("dl", {}, ...KEYS.flatMap(([keys, words]) => [
            h("dt", {}, ...keys.split(/( |, )/).map((one) => (/^[ ,]+$/.test(one) ? " " : h("kbd", {}, one)))), h("dd", {}, words)]))))));

  let left = false;
  function leave() {
    left = true;
    list.seen = asset.id;
    back("/library");
  }

  /** The next in the list, in the place of this one: full screen and focus stay. */
  function step(by) {
    const index = list.indexOf(asset.id);
    const other = list.assets[index + by];
    if (index < 0 || !other) return;
    if (index + by >= list.assets.length - 5) list.more();
    const playing = stage.media && !stage.media.paused;
    asset = other;
    job = null;
    become(`/asset/${asset.id}`);
    list.seen = asset.id;
    stage.show(asset, { play: playing });
    show();
    loadJob();
    side().scrollTo(0, 0);
  }

  /** Opened by its address: previous and next are there once the list is, which goes on to this one. */
  async function findPlace() {
    await list.reload();
    for (let page = 0; page < FAR && list.indexOf(asset.id) < 0 && list.hasMore && !signal.aborted; page++) await list.more();
  }

  const side = () => root.querySelector(".side");

  /** It is other than it was; the list knows, if it shows it. */
  function set(now, { renewed = false } = {}) {
    if (!now || now.id !== asset.id) return;
    asset = now;
    if (list.find(now.id) && list.find(now.id) !== now) list.put(now);
    if (renewed) stage.renew(now);
    show();
  }

  function show() {
    if (signal.aborted) return;
    const words = title(asset);
    setText(name, words);
    // A long prompt is cut after some lines: the details have all of it.
    name.title = words;
    retitle({ view: words });
    prompt.hidden = !asset.prompt || asset.prompt === words;
    setText(prompt, asset.prompt ?? "");
    stage.update(asset);
    stage.media?.setAttribute("aria-label", words);
    const index = list.indexOf(asset.id);
    setText(place, index < 0 ? "" : `${(index + 1).toLocaleString()} of ${list.matching.toLocaleString()}`);
    const way = [previous, next].includes(document.activeElement) && document.activeElement;
    previous.disabled = index <= 0;
    next.disabled = index < 0 || index >= list.assets.length - 1;
    if (way && way.disabled) name.focus({ preventScroll: true });
    // What has the focus is not made anew under it.
    const state = [asset.id, asset.storage_state, asset.filename, asset.processing_state, saving.isSaving(asset.id)].join(" ");
    if (acts.dataset.state !== state) {
      const held = acts.contains(document.activeElement) && document.activeElement.dataset.act;
      acts.dataset.state = state;
      acts.replaceChildren(...actions(asset, { stage, set, leave }));
      if (held) (acts.querySelector(`[data-act="${held}"]`) ?? name).focus();
    }
    const choices = [asset.id, asset.visibility, asset.expires_at, asset.storage_state].join(" ");
    if (sharing.dataset.state !== choices) {
      const held = sharing.contains(document.activeElement) ? document.activeElement : null;
      sharing.dataset.state = choices;
      sharing.replaceChildren(...settings(asset, set));
      if (held) (document.getElementById(held.id) ?? name).focus();
    }
    // What somebody is at in there stays, as long as it tells of this one.
    const at = known.contains(document.activeElement) && document.activeElement;
    const of = [asset.id, job?.id].join(" ");
    if (at && known.dataset.of === of) return;
    known.dataset.of = of;
    known.replaceChildren(...facts(asset, job));
    const same = at && [...known.querySelectorAll(at.localName)].find((one) => one.ariaLabel === at.ariaLabel);
    if (at) (same ?? name).focus({ preventScroll: true });
  }

  async function loadJob() {
    const { id, job_id: from } = asset;
    if (!from) return;
    const found = await get(`/jobs/${from}`).catch(() => null);
    if (id !== asset.id || !found) return;
    job = found;
    show();
  }

  list.addEventListener("change", () => (list.find(asset.id) ? set(list.find(asset.id)) : show()), { signal });
  saving.addEventListener("change", show, { signal });
  live.addEventListener("assets", async ({ detail }) => {
    // Whoever deletes it is on the way out, and is told of it already.
    if (left) return;
    if (detail.gone.includes(asset.id)) {
      toast(`${title(asset)} is not in the library any more.`);
      go("/library", { replace: true });
    } else if (detail.changed.includes(asset.id) && !list.find(asset.id)) {
      // One that the list does not show is followed all the same.
      set(await get(`/assets/${asset.id}`).catch(() => null));
    }
  }, { signal });
  addEventListener("keydown", (event) => press(event, { controls: stage.controls, go: step, leave }), { signal });
  // Full screen takes the focus from what it covers, and does not give it back.
  let held = name;
  root.addEventListener("focusin", ({ target }) => (held = target));
  document.addEventListener("fullscreenchange", () => {
    if (document.activeElement === document.body) (held.isConnected ? held : name).focus({ preventScroll: true });
  }, { signal });
  // What a poster was for a moment is a countdown for long.
  const clock = setInterval(() => asset.storage_state === "url_only" && show(), 1000);
  signal.addEventListener("abort", () => clearInterval(clock));

  stage.show(asset);
  show();
  loadJob();
  if (!list.listed) findPlace();
  // What the project is called.
  projects.ready().then(show, () => {});
  // The list may have missed something: what is shown large is looked at anew.
  if (list.find(asset.id)) get(`/assets/${asset.id}`).then(set, () => {});
}

