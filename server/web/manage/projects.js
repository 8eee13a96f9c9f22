/** Projects: made, renamed, deleted; each a strip of frames that leads to its storyboard. */

import { get, local, patch, post, remove } from "../api.js";
import { confirm } from "../dialog.js";
import { debounce, h, icon, setText } from "../dom.js";
import { bytes, pictureOf } from "../format.js";
import { live } from "../live.js";
import { go } from "../router.js";
import { projects, service } from "../state.js";
import { act, askName, count, keyed, sectionHead, tool, undoable } from "./parts.js";

const FRAMES = 4;

export async function mount(root, { signal }) {
  const grid = h("ul.projects", { "aria-label": "Projects" });
  root.append(
    ...sectionHead("Projects", {
      current: "manage/projects",
      words: "A project holds what belongs together. Open one to arrange its scenes.",
      actions: [h("button.primary", { type: "button", onclick: create }, icon("plus"), "New project")],
    }),
    grid);
  const seen = new IntersectionObserver((entries) => {
    for (const one of entries) if (one.isIntersecting) one.target.dispatchEvent(new Event("seen"));
  }, { rootMargin: "200px" });
  signal.addEventListener("abort", () => seen.disconnect());
  const show = keyed(grid, (first) => {
    const one = card(first);
    seen.observe(one.element);
    return one;
  });
  await projects.ready();
  projects.subscribe(show, { signal });
  // How much is in them changes with their assets, which no event of theirs tells.
  live.addEventListener("assets", debounce(800, () => !signal.aborted && projects.refresh().catch(() => {})), { signal });
  projects.refresh().catch(() => {});
}

async function create() {
  const made = await askName({ title: "New project", yes: "Create", save: (name) => post("/projects", { name }) });
  if (made) go(`/manage/projects/${made.id}`);
}

function card(first) {
  let project = first;
  let shown = "";
  let visible = false;
  const strip = h("span.strip", { "aria-hidden": "true" });
  const name = h("span.project-name");
  const meta = h("span.meta");
  const mark = h("span.chip", {}, "New things go here");
  const library = h("a.icon-button", {}, icon("library"));
  const change = tool("pencil", "", () => renameProject(project));
  const away = tool("trash", "", () => deleteProject(project));
  const open = h("a.project-open", { href: `#/manage/projects/${project.id}` }, strip,
    h("span.project-head", {}, name, mark), meta);
  const element = h("li.project", {}, open, h("div.project-tools", {}, library, change, away));
  element.addEventListener("seen", () => {
    visible = true;
    frames();
  });

  async function frames() {
    const now = `${project.assets} ${project.bytes}`;
    if (!visible || shown === now) return;
    shown = now;
    const page = project.assets ? await get("/assets", { project_id: project.id, limit: FRAMES }).catch(() => null) : { items: [] };
    if (page) strip.replaceChildren(...Array.from({ length: FRAMES }, (_, index) => frame(page.items[index])));
  }

  function update(next) {
    project = next;
    setText(name, project.name);
    name.title = project.name;
    mark.hidden = !project.is_default;
    setText(meta, [count(project.scenes, "scene"), count(project.assets, "asset"), bytes(project.bytes)].join(", "));
    library.href = `#/library?project=${project.id}`;
    for (const [button, words] of [[library, `Show ${project.name} in the library`], [change, `Rename ${project.name}`], [away, `Delete ${project.name}`]]) {
      button.setAttribute("aria-label", words);
      button.title = words;
    }
    frames();
  }

  strip.replaceChildren(...Array.from({ length: FRAMES }, () => frame()));
  update(first);
  return { element, update };
}

function frame(asset) {
  const source = asset ? pictureOf(asset) : null;
  return h("span.frame", {}, source && h("img", { src: local(source), alt: "", loading: "lazy", decoding: "async" }));
}

/** @returns {Promise<object | null>} the project as it is now */
export function renameProject(project) {
  return askName({
    title: "Rename the project",
    value: project.name,
    save: (name) => patch(`/projects/${project.id}`, { name }),
  });
}

/** Asks, and deletes; says what went, with a way back. @returns {Promise<boolean>} */
export async function deleteProject(project) {
  const inside = [project.scenes && count(project.scenes, "scene"), project.assets && count(project.assets, "asset")].filter(Boolean);
  const what = inside.length ? `${inside.join(" and ")} (${bytes(project.bytes)}) go with it.` : "It is empty.";
  const all = project.is_default ? "It is the default project, with whatever was put into no other one; an empty one takes its place. " : "";
  const sure = await confirm({
    title: `Delete ${project.name}?`,
    words: `${all}${what} Links to them stop at once. It can be had back from the trash for some days.`,
    yes: "Delete",
  });
  if (!sure) return false;
  return act(async () => {
    const gone = await remove(`/projects/${project.id}`);
    undoable(`${project.name} is in the trash, with ${bytes(gone.bytes)}.`, () => post(`/projects/${project.id}/restore`));
    await projects.refresh();
    service.refresh().catch(() => {});
  });
}
