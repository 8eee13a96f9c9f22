/** One scene of a storyboard: a card that is edited where it stands. */

import { local, patch, post, remove } from "../api.js";
import { confirm } from "../dialog.js";
import { arrange, h, icon, setText } from "../dom.js";
import { bytes, pictureOf, timecode, title } from "../format.js";
import { pickAsset } from "./pick.js";
import { act, count, tool, undoable } from "./parts.js";

/**
 * @param {object} first the scene
 * @param {{total: () => number, move: (scene: object, position: number) => void, refresh: () => Promise<unknown>}} board
 */
export function sceneCard(first, { total, move, refresh }) {
  let scene = first;
  const path = () => `/projects/${scene.project_id}/scenes/${scene.id}`;
  const save = (change) => act(async () => {
    await patch(path(), change);
    await refresh();
  });

  const picture = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  const stand = h("span.stand-in");
  const counter = h("span.timecode");
  const watch = h("a.scene-watch", { draggable: "false" });
  const choose = h("button.scene-choose", { type: "button", onclick: pickMedia }, icon("image"), h("span", {}, "Choose what it shows"));
  const number = h("span.scene-number", { "aria-hidden": "true" });
  const frame = h("div.frame", { draggable: "true", title: "Drag to another place" });

  const name = h("input.scene-name", { maxlength: 200, autocomplete: "off" });
  name.addEventListener("change", async () => {
    const now = name.value.trim();
    if (!now || now === scene.name || !(await save({ name: now }))) name.value = scene.name;
  });
  const state = h("input.scene-state", { list: "scene-states", maxlength: 40, autocomplete: "off" });
  state.addEventListener("change", async () => {
    const now = state.value.trim();
    if (!now || now === scene.status || !(await save({ status: now }))) state.value = scene.status;
  });
  for (const input of [name, state]) {
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") input.blur(), input.focus();
      if (event.key === "Escape") input.value = input === name ? scene.name : scene.status;
    });
  }

  const sound = h("audio", { controls: true, preload: "none" });
  const silent = h("button.quiet.scene-silent", { type: "button", onclick: pickSound }, icon("audio"), "Add sound");
  const noise = h("div.scene-sound");
  const soundName = h("span.scene-sound-name");
  const unsound = tool("close", "Take the sound away", () => save({ audio_asset_id: null }));
  const another = h("button.quiet", { type: "button", onclick: pickSound }, "Change");

  const earlier = tool("previous", "", () => move(scene, scene.position - 1));
  const later = tool("next", "", () => move(scene, scene.position + 1));
  const library = h("a.icon-button", {}, icon("library"));
  const change = tool("image", "", pickMedia);
  const away = tool("trash", "", gone);
  const element = h("li.scene", { "data-scene": scene.id },
    frame,
    h("div.scene-line", {}, number, name, state),
    noise,
    h("div.scene-tools", {}, earlier, later, h("span.spread"), library, change, away));

  async function pickMedia() {
    const asset = await pickAsset({ title: `What ${scene.name} shows`, kinds: ["video", "image"], projectId: scene.project_id });
    if (asset) await save({ media_asset_id: asset.id });
    // The button that was pressed may be gone by now.
    (choose.isConnected ? choose : change).focus();
  }

  async function pickSound() {
    const asset = await pickAsset({ title: `What ${scene.name} sounds like`, kinds: ["audio", "video"], projectId: scene.project_id });
    if (asset) await save({ audio_asset_id: asset.id });
    (silent.isConnected ? silent : another).focus();
  }

  async function gone() {
    if (scene.assets) {
      const sure = await confirm({
        title: `Delete ${scene.name}?`,
        words: `${count(scene.assets, "asset")} filed in it (${bytes(scene.bytes)}) go with it. All of it can be had back from the trash for some days.`,
        yes: "Delete",
      });
      if (!sure) return;
    }
    await act(async () => {
      const [here, words] = [path(), scene.name];
      await remove(here);
      undoable(`${words} is in the trash.`, async () => {
        await post(`${here}/restore`);
        await refresh();
      });
      await refresh();
    });
  }

  function update(next) {
    scene = next;
    const { media, audio } = scene;
    setText(number, String(scene.position + 1));
    if (document.activeElement !== name) name.value = scene.name;
    name.title = scene.name;
    if (document.activeElement !== state) state.value = scene.status;
    state.dataset.state = scene.status;
    name.setAttribute("aria-label", `Name of scene ${scene.position + 1}`);
    state.setAttribute("aria-label", `Status of ${scene.name}`);

    if (media) {
      const source = pictureOf(media);
      const shown = source && media.storage_state !== "pending" ? local(source) : null;
      if (shown && picture.getAttribute("src") !== shown) picture.src = shown;
      stand.replaceChildren(icon(media.kind === "image" ? "image" : "play"));
      setText(counter, media.duration ? timecode(media.duration) : "");
      watch.href = `#/asset/${media.id}`;
      watch.setAttribute("aria-label", `Watch ${title(media)}`);
      arrange(watch, [shown ? picture : stand, media.duration && counter].filter(Boolean));
    }
    arrange(frame, [media ? watch : choose]);
    choose.setAttribute("aria-label", `Choose what ${scene.name} shows`);

    if (audio) {
      if (sound.getAttribute("src") !== local(audio.url)) sound.src = local(audio.url);
      sound.setAttribute("aria-label", `Sound of ${scene.name}: ${audio.filename}`);
      setText(soundName, audio.filename);
      unsound.setAttribute("aria-label", `Take the sound of ${scene.name} away`);
      another.setAttribute("aria-label", `Change the sound of ${scene.name}`);
    }
    silent.setAttribute("aria-label", `Add sound to ${scene.name}`);
    arrange(noise, audio ? [soundName, another, unsound, sound] : [silent]);

    label(earlier, `Move ${scene.name} earlier`, scene.position === 0);
    label(later, `Move ${scene.name} later`, scene.position === total() - 1);
    library.href = `#/library?project=${scene.project_id}&scene=${scene.id}`;
    label(library, `Show the assets of ${scene.name} in the library`);
    label(change, `Change what ${scene.name} shows`);
    label(away, `Delete ${scene.name}`);
    change.hidden = !media;
  }

  function label(control, words, disabled = false) {
    control.setAttribute("aria-label", words);
    control.title = words;
    // Not `disabled`: that would lose the focus at either end.
    if (disabled) control.setAttribute("aria-disabled", "true");
    else control.removeAttribute("aria-disabled");
  }

  return { element, update };
}
