/** Fields that ask for a project, and for a scene in it; a project can be made on the way. */

import { Problem, post } from "../api.js";
import { h } from "../dom.js";
import { projects, scenes } from "../state.js";

const NEW = "new";
let count = 0;

/**
 * @param {{project: string | null, scene: string | null}} now where it is
 * @returns {{element: HTMLElement, chosen: () => Promise<{project_id: string, scene_id: string | null, name: string}>}}
 */
export function placeFields({ project, scene }) {
  const id = `place-${++count}`;
  const where = h("select", { id: `${id}-project`, autofocus: true });
  const part = h("select", { id: `${id}-scene` });
  const name = h("input", { id: `${id}-name`, maxlength: 200, autocomplete: "off" });
  const parts = h("div.field", {}, h("label", { for: part.id }, "Scene"), part);
  const names = h("div.field", {}, h("label", { for: name.id }, "Name of the new project"), name);
  const element = h("div.fields", {}, h("div.field", {}, h("label", { for: where.id }, "Project"), where), names, parts);

  async function offer() {
    names.hidden = where.value !== NEW;
    parts.hidden = true;
    const asked = where.value;
    if (asked === NEW || !asked) return;
    const found = await scenes(asked).ready().catch(() => []);
    // Another project was chosen meanwhile.
    if (asked !== where.value) return;
    parts.hidden = found.length === 0;
    part.replaceChildren(h("option", { value: "" }, "No scene"),
      ...found.map((one) => h("option", { value: one.id, selected: one.id === scene }, one.name)));
  }

  where.addEventListener("change", async () => {
    await offer();
    if (where.value === NEW) name.focus();
  });
  projects.ready().catch(() => []).then((all) => {
    where.replaceChildren(
      ...(all ?? []).map((one) => h("option", { value: one.id, selected: one.id === project }, one.name)),
      h("option", { value: NEW }, "New project…"));
    return offer();
  });

  async function chosen() {
    if (where.value === NEW) {
      const wanted = name.value.trim();
      if (!wanted) throw new Problem(422, { detail: "Give the new project a name." });
      const made = await post("/projects", { name: wanted });
      projects.refresh().catch(() => {});
      return { project_id: made.id, scene_id: null, name: made.name };
    }
    const scened = !parts.hidden && part.value;
    const words = (scened ? part : where).selectedOptions[0]?.textContent ?? "";
    return { project_id: where.value, scene_id: scened || null, name: words };
  }

  return { element, chosen };
}
