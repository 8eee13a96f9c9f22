/** Manage: how it looks, who is signed in. */

import { h, heading } from "../dom.js";
import { session, setTheme, theme } from "../state.js";

const THEMES = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]];

export function mount(root) {
  root.append(
    h("div.view-head", {}, heading("Manage")),
    h("p.view-words", {}, `Signed in as ${session.name}.`),
    h("fieldset.choices", {},
      h("legend", {}, "Theme"),
      ...THEMES.map(([value, words]) =>
        h("label.choice", {},
          h("input", { type: "radio", name: "theme", value, checked: theme() === value, onchange: () => setTheme(value) }), words))),
  );
}
