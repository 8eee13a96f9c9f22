/** The storyboard as it is shown: a card for each clip, in their order, which can be changed. */

import { arrange, h, icon } from "../dom.js";
import { announce, toast } from "../notice.js";
import { MOST, board, isBlank } from "./board.js";
import { clipCard } from "./clip.js";

// So near to an end of the screen the page scrolls under what is dragged: clear of the header and
// of the bar at the bottom of a phone. The nearer, the faster, in pixels of each frame.
const EDGE = 110;
const [SLOWEST, FASTEST] = [5, 16];

/**
 * @param {{model: () => import("../models.js").Model, place: () => object, signal: AbortSignal}} given
 */
export function storyboard({ model, place, signal }) {
  /** @type {Map<object, ReturnType<typeof clipCard>>} */
  let cards = new Map();
  const list = h("ol.shots", { id: "shots", "aria-label": "Clips" });
  const add = h("button.add-shot", { type: "button", onclick: () => card(board.add()).focus() }, icon("plus"), "Add a clip");
  const full = h("p.view-words", { hidden: true }, `A storyboard has ${MOST} clips at most.`);
  const element = h("div.story", {}, list, add, full);
  const card = (clip) => cards.get(clip);

  function show() {
    const next = new Map();
    board.clips.forEach((clip, index) => {
      const one = cards.get(clip) ?? make(clip);
      one.update(index, board.clips.length, model());
      next.set(clip, one);
    });
    cards = next;
    arrange(list, [...cards.values()].map((one) => one.element));
    add.hidden = board.clips.length >= MOST;
    full.hidden = !add.hidden;
  }

  const make = (clip) =>
    clipCard(clip, { place, signal, act: (what, from) => act(clip, what, from), grab: (event) => grab(event, clip) });

  function act(clip, what, from) {
    const index = board.clips.indexOf(clip);
    if (what === "copy") {
      if (board.clips.length < MOST) card(board.duplicate(clip)).focus();
    } else if (what === "remove") {
      const undo = board.remove(clip);
      if (!isBlank(clip)) toast(`Clip ${index + 1} was removed.`, { action: "Undo", onAction: undo });
      (card(board.clips[Math.min(index, board.clips.length - 1)])).focus();
    } else {
      board.move(clip, what === "up" ? -1 : 1);
      (from ?? card(clip).buttons[what]).focus();
      tell(clip);
    }
  }

  function tell(clip) {
    announce(`Now clip ${board.clips.indexOf(clip) + 1} of ${board.clips.length}`);
  }

  /** Drags a card by its grip: the others move out of its way. */
  function grab(event, clip) {
    if (event.button !== 0) return;
    const { element: dragged, grip } = card(clip);
    const start = { y: event.clientY + scrollY, index: board.clips.indexOf(clip) };
    let [pointer, scrolling] = [event.clientY, 0];
    const home = dragged.getBoundingClientRect().top + scrollY;
    grip.setPointerCapture(event.pointerId);
    dragged.classList.add("dragged");

    const place = () => {
      // What it would be at without being dragged changes while others move.
      dragged.style.translate = "";
      const shift = home - (dragged.getBoundingClientRect().top + scrollY);
      dragged.style.translate = `0 ${pointer + scrollY - start.y + shift}px`;
    };
    const arrangeAround = () => {
      place();
      const { top, bottom } = dragged.getBoundingClientRect();
      const [above, below] = [dragged.previousElementSibling, dragged.nextElementSibling];
      const middle = (one) => one.getBoundingClientRect().top + one.offsetHeight / 2;
      // The others are moved: what has the pointer stays where it is in the document.
      if (below && bottom > middle(below)) list.insertBefore(below, dragged);
      else if (above && top < middle(above)) list.insertBefore(above, dragged.nextElementSibling);
      else return;
      place();
    };
    /** How far to scroll, until the end of the list is in sight. */
    const step = () => {
      const { top, bottom } = list.getBoundingClientRect();
      const [low, high] = [EDGE, innerHeight - EDGE];
      const speed = (into) => Math.round(SLOWEST + (FASTEST - SLOWEST) * Math.min(1, into / EDGE));
      if (pointer < low && top < low) return -speed(low - pointer);
      return pointer > high && bottom > high ? speed(pointer - high) : 0;
    };
    // By itself, as long as the pointer is there: a finger that rests moves nothing.
    const scroll = () => {
      const by = step();
      scrolling = by && requestAnimationFrame(scroll);
      if (!by) return;
      scrollBy(0, by);
      arrangeAround();
    };
    const move = ({ clientY }) => {
      pointer = clientY;
      arrangeAround();
      scrolling ||= requestAnimationFrame(scroll);
    };
    const end = () => {
      grip.removeEventListener("pointermove", move);
      cancelAnimationFrame(scrolling);
      dragged.classList.remove("dragged");
      dragged.style.translate = "";
      const to = [...list.children].indexOf(dragged);
      if (to === start.index) return;
      board.move(clip, to - start.index);
      tell(clip);
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", end, { once: true });
  }

  board.addEventListener("change", show, { signal });
  show();
  return {
    element,
    show,
    card: (index) => cards.get(board.clips[index]),
    clear: () => cards.forEach((one) => one.clear()),
  };
}
