/**
 * The library's filters: a form, what it says as a query of the address, and what that asks of
 * the API. The address has short names: `/library?q=fox&kind=video&state=url_only&project=pr_1`.
 */

import { $, debounce, h, icon, setText } from "../dom.js";
import { projects, scenes } from "../state.js";

/** The names in the address, and those of the API. */
const NAMES = { q: "q", project: "project_id", scene: "scene_id", kind: "kind", role: "role", state: "storage_state" };
const KINDS = { video: "Video", image: "Images", audio: "Audio", other: "Other files" };
const ROLES = { clip: "Generated", combined: "Combined", upload: "Uploaded", download: "Downloaded" };
const STATES = {
  stored: "Stored", url_only: "URL only", unsaved: "Unsaved", expired: "Expired", pending: "On its way", failed: "Failed", public: "Public",
};

/** @param {Record<string, string>} query by the address's names */
export function asked(query) {
  const wanted = Object.fromEntries(Object.entries(query).filter(([, value]) => value).map(([name, value]) => [NAMES[name], value]));
  if (wanted.storage_state !== "public") return wanted;
  const { storage_state: _, ...rest } = wanted;
  return { ...rest, visibility: "public" };
}

/**
 * @param {URLSearchParams} query
 * @param {{onChange: (query: Record<string, string>) => void, signal: AbortSignal}} heard
 */
export function filterForm(query, { onChange, signal }) {
  const search = h("input", { id: "search", type: "search", maxlength: 200, name: "q", placeholder: "Search", "aria-label": "Search names and prompts", autocomplete: "off", spellcheck: "false" });
  const choice = (name, label, every, words) =>
    h("select", { id: name, name, "aria-label": label },
      h("option", { value: "" }, every), ...Object.entries(words).map(([value, text]) => h("option", { value }, text)));
  const project = choice("project", "Project", "All projects", {});
  const scene = choice("scene", "Scene", "All scenes", {});
  const selects = [project, scene, choice("kind", "Kind", "Every kind", KINDS), choice("role", "Role", "Every role", ROLES), choice("state", "State", "Every state", STATES)];
  const fold = h("button.secondary.fold", { type: "button", "aria-expanded": "false", "aria-controls": "filter-choices", onclick: unfold }, icon("filter"), h("span", {}, "Filters"));
  const element = h("form.filters", { id: "filters", role: "search", "aria-label": "Library" },
    h("div.search", {}, icon("search"), search), fold,
    h("div.filter-choices", { id: "filter-choices" }, ...selects));

  const read = () => Object.fromEntries([search, ...selects].map((field) => [field.name, field.value.trim()]));
  const change = () => {
    mark();
    onChange(read());
  };
  search.addEventListener("input", debounce(250, () => !signal.aborted && change()));
  for (const one of selects) one.addEventListener("change", () => {
    if (one === project) {
      scene.value = "";
      offerScenes();
    }
    change();
  });
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    change();
  });

  function unfold() {
    const open = element.classList.toggle("open");
    fold.setAttribute("aria-expanded", String(open));
  }

  /** Which ones are in use, also while they are folded away. */
  function mark() {
    for (const one of selects) one.classList.toggle("set", Boolean(one.value));
    const set = selects.filter((one) => one.value).length;
    setText(fold.lastChild, set ? `Filters (${set})` : "Filters");
  }

  /** Keeps what is chosen, also when it is not (or not yet) among the choices. */
  function offer(select, found, unknown) {
    const [first] = select.options;
    const { value } = select;
    const known = found.some((one) => one.id === value);
    select.replaceChildren(first, ...found.map((one) => h("option", { value: one.id }, one.name)),
      ...(value && !known ? [h("option", { value }, unknown)] : []));
    select.value = value;
  }

  async function offerScenes() {
    const id = project.value;
    const found = id ? await scenes(id).ready().catch(() => []) : [];
    if (id !== project.value) return;
    offer(scene, found, "A scene");
    scene.hidden = !found.length && !scene.value;
  }

  function set(select, value) {
    if (value && ![...select.options].some((one) => one.value === value)) select.append(h("option", { value }, "…"));
    select.value = value;
  }

  function fill(values) {
    search.value = (values.get("q") ?? "").slice(0, search.maxLength);
    for (const one of selects) set(one, values.get(one.name) ?? "");
    offer(project, projects.value ?? [], "A project");
    offerScenes();
    mark();
  }

  projects.subscribe((all) => offer(project, all, "A project"), { signal });
  projects.ready().catch(() => {});
  fill(query);
  return {
    element,
    value: read,
    clear() {
      fill(new URLSearchParams());
      onChange(read());
      $("search").focus();
    },
  };
}
