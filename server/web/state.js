/**
 * What several views need, asked for once and kept fresh.
 *
 *   may("generate")         whether the key of this browser has such a scope
 *   session                 {user_id, key_id, name, is_admin, scopes}: who is signed in, by which
 *                           key (set before any view)
 *   projects, models, service, scenes(projectId)   each a Store:
 *       value               what is known, undefined before the first answer
 *       ready()             → Promise of the value, asked for only once; throws a Problem
 *       refresh()           → Promise of the value, asked for again
 *       subscribe(fn, {signal})   fn(value) now, if known, and after each change
 *   theme(), setTheme(x)    "auto", "light" or "dark"
 *
 * `service` is what /readyz says: {accepting, reason, default_provider, …}.
 * `projects` and `scenes` follow the events: nobody has to refresh after a change.
 */

import { get, request } from "./api.js";
import { memory } from "./dom.js";
import { live } from "./live.js";
import { loadModels } from "./models.js";

export class Store extends EventTarget {
  #load;
  #asked = null;

  /** @param {() => Promise<unknown>} load */
  constructor(load) {
    super();
    this.#load = load;
    this.value = undefined;
  }

  ready() {
    return this.value === undefined ? (this.#asked ?? this.refresh()) : Promise.resolve(this.value);
  }

  refresh() {
    const asked = this.#load().then(
      (value) => {
        if (this.#asked === asked) this.#set(value);
        // Whoever asked later gets a later answer: it is waited for, so that this one is shown, too.
        return this.#asked?.catch(() => this.value) ?? this.value ?? value;
      },
      (error) => {
        if (this.#asked === asked) this.#asked = null;
        throw error;
      },
    );
    this.#asked = asked;
    return asked;
  }

  subscribe(heard, options = {}) {
    if (this.value !== undefined) heard(this.value);
    this.addEventListener("change", () => heard(this.value), options);
  }

  #set(value) {
    this.#asked = null;
    this.value = value;
    this.dispatchEvent(new Event("change"));
  }
}

/** @type {import("./session.js").Session | null} */
export let session = null;
export const setSession = (one) => (session = one);
export const may = (scope) => session.scopes.includes(scope);

export const service = new Store(() => request("GET", "//readyz", { renews: false }));
export const models = new Store(loadModels);
export const projects = new Store(async () => (await get("/projects", { limit: 200 })).items);

const byProject = new Map();
/** The scenes of a project, in their order. @returns {Store} */
export function scenes(projectId) {
  if (!byProject.has(projectId)) {
    byProject.set(projectId, new Store(async () => (await get(`/projects/${projectId}/scenes`, { limit: 200 })).items));
  }
  return byProject.get(projectId);
}

// What nobody has asked for yet is not asked for.
const again = (store) => store.value !== undefined && store.refresh().catch(() => {});
live.addEventListener("projects", () => again(projects));
live.addEventListener("scenes", ({ detail }) => {
  for (const id of detail.projects) if (byProject.has(id)) again(byProject.get(id));
});
live.addEventListener("reload", () => [projects, ...byProject.values()].forEach(again));

export const theme = () => memory.get("theme", "auto");
export function setTheme(choice) {
  memory.set("theme", choice === "auto" ? null : choice);
  dispatchEvent(new Event("themechange"));
}
