/** The keyboard, while an asset is shown. */

export const KEYS = [
  ["Space", "play, pause"], ["← →", "a little back, on"], ["J K L", "back, pause, on"], [", .", "frame by frame"],
  ["0–9", "to a tenth"], ["Home End", "to an end"], ["< >", "slower, faster"], ["M", "mute"], ["R", "loop"],
  ["P", "picture in picture"], ["F", "full screen"], ["Shift N, Shift P", "next, previous"], ["Esc", "close"],
];

/**
 * @param {KeyboardEvent} event
 * @param {{controls: import("./controls.js").Controls | null, go: (step: number) => void, leave: () => void}} player
 */
export function press(event, { controls, go, leave }) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog:modal")) return;
  const { target, shiftKey } = event;
  const range = target.matches('input[type="range"]');
  if (target.matches("input, select, textarea") && !range) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = find(key, shiftKey, { controls, go, leave });
  if (!act) return;
  // These know what to do with such keys by themselves.
  if (key === " " && target.matches("button, a, summary, input")) return;
  if (target.matches(".volume") && (key.startsWith("Arrow") || key === "Home" || key === "End")) return;
  event.preventDefault();
  act();
}

function find(key, shift, { controls, go, leave }) {
  if (key === "Escape") return document.fullscreenElement ? null : leave;
  if (shift && key === "n") return () => go(1);
  if (shift && key === "p") return () => go(-1);
  if (!controls) return { ArrowLeft: () => go(-1), ArrowRight: () => go(1) }[key] ?? null;
  if (key === "<" || key === ">") return () => controls.shift(key === ">" ? 1 : -1);
  if (shift) return null;
  if (key >= "0" && key <= "9") return () => controls.to((controls.duration * Number(key)) / 10);
  const long = controls.duration > 60;
  const acts = {
    " ": () => controls.toggle(),
    k: () => controls.toggle(),
    j: () => controls.by(long ? -10 : -2),
    l: () => controls.by(long ? 10 : 2),
    ArrowLeft: () => controls.by(long ? -5 : -1),
    ArrowRight: () => controls.by(long ? 5 : 1),
    ",": () => controls.step(-1),
    ".": () => controls.step(1),
    Home: () => controls.to(0),
    End: () => controls.to(controls.duration),
    m: () => controls.mute(),
    r: () => controls.loop(),
    p: () => controls.float(),
    f: () => controls.fill(),
  };
  return acts[key] ?? null;
}
