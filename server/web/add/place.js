/** Where something new goes: a project, and a scene of it. */

import { h } from "../dom.js";
import { projects, scenes } from "../state.js";

/**
 * Two fields, which follow what there is.
 * @param {{project: string, scene: string}} chosen "" for the default project, and for no scene
 * @param {{onChange: (chosen: {project: string, scene: string}) => void, signal?: AbortSignal, prefix: string}} options
 */
export function placeFields(chosen, { onChange, signal, prefix }) {
  const project = h("select", { id: `${prefix}-project`, onchange: () => choose(project.value, "") });
  const scene = h("select", { id: `${prefix}-scene`, onchange: () => choose(project.value, scene.value) });
  const field = (select, words) => h("div", {}, h("label", { for: select.id }, words), select, h("p.field-error", { id: `${select.id}-error` }));
  const sceneField = field(scene, "Scene");
  const element = h("div.place", {}, field(project, "Project"), sceneField);
  let { project: wanted, scene: wantedScene } = chosen;
  let known = null;

  function choose(id, sceneId) {
    [wanted, wantedScene] = [id, sceneId];
    onChange({ project: wanted, scene: wantedScene });
    offerScenes();
  }

  function offer(all) {
    const standard = all.find((one) => one.is_default);
    const others = all.filter((one) => one !== standard);
    project.replaceChildren(
      h("option", { value: "" }, standard?.name ?? "Default"),
      ...others.map((one) => h("option", { value: one.id }, one.name)));
    project.value = wanted === standard?.id ? "" : wanted;
    // One that is gone by now.
    if (project.selectedIndex < 0) {
      project.value = "";
      choose("", "");
    } else {
      offerScenes();
    }
  }

  function offerScenes() {
    const id = project.value || projects.value?.find((one) => one.is_default)?.id;
    if (!id) return showScenes([]);
    const store = scenes(id);
    // Whether there are any is not known yet.
    if (store.value === undefined) sceneField.hidden = true;
    if (known !== store) {
      known = store;
      store.subscribe((all) => known === store && showScenes(all), { signal });
      store.ready().catch(() => {});
    } else if (store.value) {
      showScenes(store.value);
    }
    return undefined;
  }

  function showScenes(all) {
    sceneField.hidden = all.length === 0;
    scene.replaceChildren(h("option", { value: "" }, "No scene"), ...all.map((one) => h("option", { value: one.id }, one.name)));
    scene.value = wantedScene;
    if (scene.selectedIndex < 0) {
      scene.value = "";
      choose(project.value, "");
    }
  }

  // Until it is known what there is, what was chosen stays chosen.
  project.append(h("option", { value: wanted }, wanted ? "…" : "Default"));
  sceneField.hidden = true;
  projects.subscribe(offer, { signal });
  projects.ready().catch(() => {});
  return element;
}

/** A place as the API wants it. A scene of the default project needs the project's id, too. */
export function placeQuery({ project, scene }) {
  const id = project || (scene && projects.value?.find((one) => one.is_default)?.id);
  return { ...(id && { project_id: id }), ...(id && scene && { scene_id: scene }) };
}
