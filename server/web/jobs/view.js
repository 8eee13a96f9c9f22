/** The jobs: what runs, what failed and why, what can be tried again, and what there was. */

import { get } from "../api.js";
import { arrange, h, heading, nearing, setText } from "../dom.js";
import { isActive, live } from "../live.js";
import { saving } from "../saving.js";
import { SHORT, jobCard } from "./card.js";
import { jobHistory } from "./history.js";
import { placeUploads } from "./progress.js";
import { titleOf } from "./words.js";

const FILTERS = [["all", "All"], ["active", "Running"], ["failed", "Failed"]];
const NONE = {
  all: ["Nothing was made yet. ", h("a", { href: "#/generate" }, "Generate a shot"), "."],
  active: ["Nothing is being made now. ", h("a", { href: "#/generate" }, "Generate a shot"), "."],
  failed: ["Nothing has failed that you have not dismissed."],
};

export function mount(root, visit) {
  return visit.params.id ? mountOne(root, visit) : mountAll(root, visit);
}

async function mountAll(root, { query, signal, keep }) {
  let wanted = FILTERS.some(([name]) => name === query.get("show")) ? query.get("show") : "all";
  const choose = (name) => {
    wanted = name;
    keep(name === "all" ? {} : { show: name });
    return jobHistory.open(name);
  };
  const filters = h("fieldset.segments", {},
    h("legend.visually-hidden", {}, "Which jobs"),
    ...FILTERS.map(([value, words]) =>
      h("label.segment", {}, h("input", { type: "radio", name: "jobs-filter", value, checked: value === wanted, onchange: () => choose(value) }), words)));
  const uploading = h("div");
  const none = h("p.view-words", { hidden: true });
  const trouble = h("p.form-error", { role: "alert" });
  const list = h("ul.jobs", { id: "jobs", tabindex: -1, "aria-label": "Jobs" });
  const more = h("button.secondary", { type: "button", hidden: true, onclick: () => jobHistory.more() }, "Load more");
  root.append(h("div.view-head", {}, heading("Jobs"), filters), uploading, none, trouble, list, h("p.more", {}, more));
  placeUploads(uploading);

  let cards = new Map();
  const show = () => {
    const next = new Map();
    for (const job of jobHistory.jobs) {
      const one = cards.get(job.id) ?? jobCard(job);
      if (one.job !== job) one.update(job);
      next.set(job.id, one);
    }
    cards = next;
    arrange(list, [...cards.values()].map((one) => one.element));
    list.hidden = !jobHistory.jobs.length;
    more.hidden = !jobHistory.hasMore;
    setText(trouble, jobHistory.error);
    none.hidden = jobHistory.jobs.length > 0 || !jobHistory.loaded || Boolean(jobHistory.error);
    if (!none.hidden) none.replaceChildren(...NONE[jobHistory.filter]);
    if (!jobHistory.error) watch.again();
  };
  const watch = nearing(more, () => jobHistory.more(), { rootMargin: "600px" });
  follow(() => cards, signal);
  signal.addEventListener("abort", () => watch.disconnect());
  jobHistory.addEventListener("change", show, { signal });
  if (jobHistory.loaded && jobHistory.filter === wanted) show();
  else await jobHistory.open(wanted);
}

async function mountOne(root, { params, signal }) {
  const job = await get(`/jobs/${params.id}`);
  live.put(job);
  const card = jobCard(job, { full: true });
  const name = titleOf(job);
  root.append(
    h("p.back", {}, h("a", { href: "#/jobs" }, "All jobs")),
    h("div.view-head", {}, heading(name.length > SHORT ? `${name.slice(0, SHORT)}…` : name)),
    h("ul.jobs.one", { "aria-label": "The job" }, card.element));
  live.addEventListener("jobs", ({ detail }) => {
    const now = detail.find((one) => one.id === job.id);
    if (now) card.update(now);
  }, { signal });
  follow(() => new Map([[job.id, card]]), signal);
}

/** Keeps cards as their outputs and the clock go on. */
function follow(cards, signal) {
  const clock = setInterval(() => cards().forEach((card) => card.tick()), 1000);
  signal.addEventListener("abort", () => clearInterval(clock));
  live.addEventListener("assets", ({ detail }) => {
    const ids = new Set([...detail.changed, ...detail.gone]);
    for (const { job } of cards().values()) {
      // Those that run are told of by themselves.
      if (!isActive(job) && job.outputs.some((one) => ids.has(one.id))) get(`/jobs/${job.id}`).then((now) => live.put(now), () => {});
    }
  }, { signal });
  saving.addEventListener("change", ({ detail: id }) => {
    for (const card of cards().values()) if (card.job.outputs.some((one) => one.id === id)) card.update(card.job);
  }, { signal });
}
