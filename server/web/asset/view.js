/** The screening room: one asset, large, with all that can be done to it. */

import { get } from "../api.js";
import { h, icon } from "../dom.js";
import { list } from "../library/list.js";
import { live } from "../live.js";
import { saving } from "../saving.js";
import { Player } from "./player.js";

export async function mount(root, { params, signal }) {
  const asset = list.find(params.id) ?? (await get(`/assets/${params.id}`));
  const button = (id, label, name) => h("button.icon-button", { id, type: "button", "aria-label": label }, icon(name));
  root.append(
    h("div.viewer", { id: "viewer" },
      h("div.stage", { id: "stage" }),
      h("div.viewer-nav", {}, button("previous", "Previous", "previous"), button("next", "Next", "next"), button("viewer-close", "Close", "close")),
      h("div.side", { id: "side" },
        h("h1", { id: "viewer-title", tabindex: -1 }),
        h("p.viewer-prompt", { id: "viewer-prompt" }),
        h("div.actions", { id: "actions" }),
        h("dl.facts", { id: "facts" }),
        h("p.keys", { id: "viewer-keys" },
          h("kbd", {}, "Space"), " plays, ", h("kbd", {}, "J"), " ", h("kbd", {}, "L"), " jump, ",
          h("kbd", {}, ","), " ", h("kbd", {}, "."), " step a frame, ", h("kbd", {}, "F"), " fills the screen"))));
  const player = new Player(asset, signal);
  const follow = () => player.update(list.find(player.id) ?? asset);
  list.addEventListener("change", follow, { signal });
  saving.addEventListener("change", follow, { signal });
  live.addEventListener("assets", async ({ detail }) => {
    if (detail.gone.includes(player.id)) player.leave();
    // One that the list does not show is followed all the same.
    else if (detail.changed.includes(player.id) && !list.find(player.id)) {
      const now = await get(`/assets/${player.id}`).catch(() => null);
      if (now && !signal.aborted) player.update(now);
    }
  }, { signal });
  return player.focus;
}
