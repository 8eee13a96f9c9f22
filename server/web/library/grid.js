/**
 * The grid: of all that is listed only the tiles in sight are in the page (and the current one,
 * which keeps the focus). Every row is as high as every other, so where a tile belongs is known
 * without it; the page scrolls as if all were there.
 *
 * Keyboard: one tile is current, and the only one that Tab stops at. Arrows, Home, End and the
 * Page keys move; Enter opens; Space or x selects, with Shift everything up to there; Ctrl+A all;
 * Delete deletes.
 */

import { arrange, h } from "../dom.js";
import { trash } from "./bulk.js";
import { list } from "./list.js";
import { selection } from "./selection.js";
import { tile } from "./tile.js";

const NARROWEST = 216;
// Name in two lines, and what is below it.
const CAPTION = 4.5;
// Rows that are there before they are in sight, above and below.
const AHEAD = 1;
// So many rows before the end the next page is asked for.
const EARLY = 12;

export class Grid {
  element = h("ul.grid.library", { id: "library", tabindex: -1, "aria-label": "Assets", "aria-describedby": "library-keys" });
  /** @type {Map<string, ReturnType<typeof tile>>} */
  #tiles = new Map();
  #current = null;
  #place = 0;
  #shape = { columns: 1, width: 0, frame: 0, row: 1, gap: 0 };
  #drawing = 0;

  /**
   * @param {(asset: object) => void} open
   * @param {AbortSignal} signal
   */
  constructor(open, signal) {
    this.open = open;
    const later = () => {
      this.#drawing ||= requestAnimationFrame(() => {
        this.#drawing = 0;
        if (!signal.aborted) this.#draw();
      });
    };
    addEventListener("scroll", later, { signal, passive: true });
    addEventListener("resize", later, { signal });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("keyup", (event) => event.key === " " && event.target.matches(".tile-open") && event.preventDefault());
    this.element.addEventListener("focusin", (event) => this.#focused(event.target.closest(".tile")?.dataset.asset));
    // What is above comes and goes, too.
    const sizes = new ResizeObserver(() => {
      this.#measure();
      later();
    });
    sizes.observe(this.element);
    sizes.observe(document.body);
    const clock = setInterval(() => {
      for (const one of this.#tiles.values()) one.tick();
    }, 1000);
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      clearInterval(clock);
      for (const one of this.#tiles.values()) one.end();
    });
    selection.addEventListener("change", () => this.#draw(), { signal });
  }

  /** The button of the current tile, once it is shown. */
  get button() {
    return this.#tiles.get(this.#current)?.button;
  }

  /** The list has changed, or is shown for the first time. */
  show(current = this.#current) {
    const had = this.element.contains(document.activeElement);
    this.#current = current;
    // What had the focus is gone: it goes to the neighbour.
    if (list.indexOf(current) < 0) this.#current = list.assets[Math.min(this.#place, list.assets.length - 1)]?.id ?? null;
    this.#measure();
    this.#draw();
    if (had && !this.element.contains(document.activeElement)) (this.button ?? document.querySelector("#view h1"))?.focus();
  }

  /** One of them is other than it was. */
  again(id) {
    if (this.#tiles.has(id)) this.#update(id);
  }

  #measure() {
    const width = this.element.clientWidth;
    if (!width) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const gap = width < 560 ? 12 : 16;
    const columns = Math.max(2, Math.floor((width + gap) / (NARROWEST + gap)));
    const tileWidth = (width - gap * (columns - 1)) / columns;
    const frame = Math.round((tileWidth * 9) / 16);
    this.#shape = { columns, width: tileWidth, frame, gap, row: frame + Math.round(CAPTION * rem) + gap };
    const { style } = this.element;
    style.setProperty("--tile-width", `${tileWidth}px`);
    style.setProperty("--frame", `${frame}px`);
    const rows = Math.ceil(list.assets.length / columns);
    style.setProperty("height", `${Math.max(0, rows * this.#shape.row - gap)}px`);
  }

  #draw() {
    // The selection hears before the view what is gone: `show` follows, and finds another current one.
    if (this.#current && !list.find(this.#current)) return;
    const { columns, row } = this.#shape;
    const assets = list.assets;
    const { top } = this.element.getBoundingClientRect();
    const rows = Math.ceil(assets.length / columns);
    const first = Math.max(0, Math.floor(-top / row) - AHEAD);
    const last = Math.min(rows - 1, Math.floor((innerHeight - top) / row) + AHEAD);
    if (!this.element.contains(document.activeElement) && document.activeElement !== document.body) {
      // Whoever comes back by Tab finds what is in sight.
      const place = list.indexOf(this.#current);
      const above = Math.max(0, Math.ceil(-top / row));
      if (place < first * columns || place >= (last + 1) * columns) this.#current = assets[Math.min(above * columns, assets.length - 1)]?.id ?? null;
    }
    const shown = assets.slice(first * columns, (last + 1) * columns).map((one) => one.id);
    if (this.#current && !shown.includes(this.#current)) {
      if (list.indexOf(this.#current) < first * columns) shown.unshift(this.#current);
      else shown.push(this.#current);
    }
    const wanted = new Set(shown);
    for (const [id, one] of this.#tiles) {
      if (wanted.has(id)) continue;
      one.end();
      this.#tiles.delete(id);
    }
    for (const id of shown) {
      if (!this.#tiles.has(id)) this.#tiles.set(id, this.#make(list.find(id)));
      this.#update(id);
    }
    arrange(this.element, shown.map((id) => this.#tiles.get(id).element));
    this.element.classList.toggle("picking", selection.active);
    if (last >= rows - EARLY) list.more();
  }

  #make(asset) {
    return tile(asset, {
      open: (one, event) => {
        if (event.shiftKey) selection.reach(one.id);
        else if (selection.active || event.ctrlKey || event.metaKey) selection.toggle(one.id);
        else this.open(one);
      },
      check: (one, event) => (event.shiftKey ? selection.reach(one.id) : selection.toggle(one.id)),
      renew: (one) => list.renew(one.id),
    });
  }

  #update(id) {
    const { columns, width, row, gap } = this.#shape;
    const index = list.indexOf(id);
    const one = this.#tiles.get(id);
    one.element.style.setProperty("transform", `translate(${(index % columns) * (width + gap)}px, ${Math.floor(index / columns) * row}px)`);
    one.update(list.assets[index], { index, total: list.matching, selected: selection.has(id), current: id === this.#current });
  }

  #focused(id) {
    if (!id || list.indexOf(id) < 0) return;
    this.#place = list.indexOf(id);
    if (id === this.#current) return;
    const before = this.#current;
    this.#current = id;
    this.again(id);
    if (before) this.again(before);
  }

  #key(event) {
    if (!event.target.matches(".tile-open, .tile-check") || event.altKey) return;
    const { columns, row } = this.#shape;
    const page = Math.max(1, Math.floor((innerHeight * 0.8) / row)) * columns;
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page,
      Home: -Infinity, End: Infinity,
    };
    const { key } = event;
    const chosen = key === " " || key === "x" || key === "X";
    const command = event.ctrlKey || event.metaKey;
    if (key in steps && !command) this.#go(steps[key], event.shiftKey);
    else if (command && key === "a") selection.all();
    else if (command) return;
    else if (chosen && event.target.matches(".tile-check") && key === " ") return;
    else if (chosen && event.shiftKey) selection.reach(this.#current);
    else if (chosen) selection.toggle(this.#current);
    else if (key === "Delete" && event.repeat) return;
    else if (key === "Delete") trash(selection.size ? selection.assets : [list.find(this.#current)]);
    else return;
    event.preventDefault();
  }

  #go(step, selecting) {
    const from = list.indexOf(this.#current);
    const to = Math.max(0, Math.min(list.assets.length - 1, from + step));
    if (to === from) return;
    if (selecting && !selection.has(this.#current)) selection.toggle(this.#current);
    const before = this.#current;
    this.#current = list.assets[to].id;
    this.#draw();
    this.again(before);
    // Clear of what lies over the page's ends: page.css knows.
    this.button.scrollIntoView({ block: "nearest" });
    this.button.focus({ preventScroll: true });
    if (selecting) selection.reach(this.#current);
  }
}
