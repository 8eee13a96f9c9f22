/** A project's storyboard: its scenes in their order, what each shows and sounds like. */

import { get, patch, post } from "../api.js";
import { h, icon, setText } from "../dom.js";
import { bytes } from "../format.js";
import { live } from "../live.js";
import { announce } from "../notice.js";
import { go } from "../router.js";
import { projects, scenes } from "../state.js";
import { act, count, keyed, sectionHead, tool } from "./parts.js";
import { deleteProject, renameProject } from "./projects.js";
import { sceneCard } from "./scene.js";

const KNOWN = ["draft", "in progress", "ready", "done"];

export async function mount(root, { params, signal }) {
  const store = scenes(params.id);
  let project = await get(`/projects/${params.id}`);
  /** @type {string | null} the scene that was made just now */
  let fresh = null;
  await store.ready();
  if (signal.aborted) return;

  const meta = h("p.view-words");
  const board = h("ol.board", { "aria-label": "Scenes" });
  const words = h("datalist", { id: "scene-states" });
  const empty = h("div.empty", { hidden: true },
    h("p.empty-title", {}, "No scenes yet."),
    h("p", {}, "A scene is a place in the story: give it a name, then choose what it shows and what it sounds like."),
    h("p", {}, h("button.secondary", { type: "button", onclick: create }, "Make the first scene")));
  const [ways, head] = sectionHead(project.name, {
    current: "manage/projects",
    actions: [
      h("a.secondary", { href: `#/library?project=${project.id}` }, icon("library"), "In the library"),
      h("button.primary", { type: "button", onclick: create }, icon("plus"), "New scene"),
      tool("pencil", "Rename the project", rename),
      tool("trash", "Delete the project", away),
    ],
  });
  head.querySelector("h1").before(h("a.up", { href: "#/manage/projects", "aria-label": "All projects" }, icon("previous")));
  root.append(ways, head, meta, board, empty, words);

  const show = keyed(board, (first) => sceneCard(first, { total: () => store.value.length, move, refresh: () => store.refresh() }));
  store.subscribe((all) => {
    // While one is dragged, the board stays as it is.
    if (board.querySelector(".dragged")) return;
    show(all);
    board.hidden = !all.length;
    empty.hidden = Boolean(all.length);
    const states = [...new Set([...KNOWN, ...all.map((one) => one.status)])];
    words.replaceChildren(...states.map((value) => h("option", { value })));
    tell();
    begin();
  }, { signal });
  projects.subscribe((all) => {
    const now = all.find((one) => one.id === project.id);
    if (!now) return;
    project = now;
    setText(head.querySelector("h1"), project.name);
    tell();
  }, { signal });
  live.addEventListener("projects", ({ detail }) => detail.gone.includes(project.id) && go("/manage/projects", { replace: true }), { signal });
  // What a scene shows may have got its poster, or gone to the trash.
  live.addEventListener("assets", ({ detail }) => {
    const shown = store.value.flatMap((one) => [one.media_asset_id, one.audio_asset_id]);
    if ([...detail.changed, ...detail.gone].some((id) => shown.includes(id))) store.refresh().catch(() => {});
  }, { signal });
  dragging();
  projects.ready().catch(() => {});

  function tell() {
    setText(meta, `${count(store.value.length, "scene")}, ${count(project.assets, "asset")}, ${bytes(project.bytes)}`);
  }

  async function create() {
    await act(async () => {
      const made = await post(`/projects/${project.id}/scenes`, { name: `Scene ${store.value.length + 1}` });
      fresh = made.id;
      await store.refresh();
    });
  }

  /** A new one is there: its name is to be typed over. */
  function begin() {
    const scene = fresh && board.querySelector(`[data-scene="${fresh}"]`);
    if (!scene) return;
    fresh = null;
    // All of it, as far as there is room.
    scene.scrollIntoView({ block: "nearest" });
    const name = scene.querySelector(".scene-name");
    name.focus();
    name.select();
  }

  async function rename() {
    const now = await renameProject(project);
    if (!now) return;
    project = now;
    setText(head.querySelector("h1"), now.name);
    projects.refresh().catch(() => {});
  }

  async function away() {
    if (await deleteProject(project)) go("/manage/projects", { replace: true });
  }

  /** To a place, from 0; said aloud, because it may be out of sight. */
  async function move(scene, position) {
    if (position < 0 || position >= store.value.length || position === scene.position) return;
    const moved = await act(() => patch(`/projects/${project.id}/scenes/${scene.id}`, { position }));
    await store.refresh().catch(() => {});
    if (moved) announce(`${scene.name} is now ${position + 1} of ${store.value.length}.`);
  }

  function dragging() {
    let dragged = null;
    board.addEventListener("dragstart", (event) => {
      dragged = event.target.closest?.(".scene") ?? null;
      if (!dragged) return;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("application/x-reelbase-scene", dragged.dataset.scene);
      event.dataTransfer.setDragImage(dragged, 40, 40);
      // After the picture of it is taken.
      setTimeout(() => dragged?.classList.add("dragged"));
    });
    board.addEventListener("dragover", (event) => {
      if (!dragged) return;
      event.preventDefault();
      const over = event.target.closest(".scene");
      if (!over || over === dragged) return;
      const { left, top, width, height } = over.getBoundingClientRect();
      const wide = board.clientWidth > width * 1.5;
      const after = wide ? event.clientX > left + width / 2 : event.clientY > top + height / 2;
      const place = after ? over.nextSibling : over;
      if (place !== dragged && place !== dragged.nextSibling) board.insertBefore(dragged, place);
    });
    board.addEventListener("drop", (event) => {
      if (!dragged) return;
      event.preventDefault();
      const scene = store.value.find((one) => one.id === dragged.dataset.scene);
      const position = [...board.children].indexOf(dragged);
      if (scene) move(scene, position);
    });
    board.addEventListener("dragend", () => {
      dragged?.classList.remove("dragged");
      dragged = null;
      store.refresh().catch(() => {});
    });
  }
}
