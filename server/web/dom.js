/**
 * Making and finding elements.
 *
 *   h("button.quiet", {type: "button", onclick}, "Words", child, cond && child)   an element
 *   heading("Library")        a view's h1, which takes the focus when the view is opened
 *   icon("trash")             one of the sprite's in index.html
 *   $("id")                   what stands in index.html, or in the view that is shown
 *   arrange(parent, elements) children in this order, touching only what is out of place
 *   beside(card)              → a function that puts the focus where it goes on when a card goes
 *   setText, debounce, randomId, memory.get/set (localStorage, JSON)
 */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} id */
export const $ = (id) => document.getElementById(id);

/**
 * An element: `h("button.quiet", { type: "button", onclick }, "Words")`. Properties that are
 * functions become listeners, `null` and `false` are left out, all else become attributes.
 * @param {string} name a tag, with classes after dots
 * @param {Record<string, unknown>} given
 * @param {...(Node | string | null | undefined | false)} children
 */
export function h(name, given = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value != null && value !== false) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** The heading of a view. */
export const heading = (words) => h("h1.view-title", { tabindex: -1 }, words);

/** One of the icons in the page's sprite. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Sets text only when it is another: live regions and selections stay calm. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` these, in this order, touching only what is out of place, so
 * that focus, playback and scroll position survive.
 */
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

/**
 * To be asked before a card goes. On a name, not on a button: a second press would act on another.
 * @param {Element} card
 * @returns {() => void} puts the focus on the next card, or on the view's heading
 */
export function beside(card) {
  const near = card.nextElementSibling ?? card.previousElementSibling;
  return () => ((near?.isConnected && near.querySelector(".name")) || document.querySelector("#view h1"))?.focus();
}

/** Calls back once things have been quiet for `ms`. */
export function debounce(ms, callback) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => callback(...given), ms);
  };
}

/**
 * Calls back when an element comes near what is seen. An observer tells of a change only: whoever
 * was told while busy, or has an element that stayed where it was, asks `again()`.
 *
 * @param {Element} element
 * @param {() => void} callback
 * @param {IntersectionObserverInit} options
 */
export function nearing(element, callback, options) {
  const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && callback(), options);
  observer.observe(element);
  return {
    again() {
      observer.unobserve(element);
      observer.observe(element);
    },
    disconnect: () => observer.disconnect(),
  };
}

/** A random id, also where the page was not opened over https. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Small things that this browser remembers; nothing when it may not. */
export const memory = {
  get(key, otherwise = null) {
    try {
      return JSON.parse(localStorage.getItem(`reelbase.${key}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(key, value) {
    try {
      if (value == null) localStorage.removeItem(`reelbase.${key}`);
      else localStorage.setItem(`reelbase.${key}`, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing forgets it at the next visit.
    }
  },
};
