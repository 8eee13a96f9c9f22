/**
 * Files whose upload is not finished, kept by the browser so that the upload goes on by itself
 * after a reload. Only those that are not too large to be copied; none where it may not be done.
 *
 *   kept.put(url, file)  → whether it is kept      kept.get(url) → File or null      kept.drop(url)
 *   kept.pause(url, yes), isPaused(url)            what was paused is so after a reload, too
 */

import { memory } from "../dom.js";

const LARGEST = 256 * 1024 * 1024;
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open("reelbase", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("files");
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  return opened;
}

async function store(mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("files", mode);
    const asked = act(transaction.objectStore("files"));
    transaction.oncomplete = () => resolve(asked.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

export const kept = {
  async put(url, file) {
    if (file.size > LARGEST) return false;
    return store("readwrite", (files) => files.put(file, url)).then(() => true, () => false);
  },
  get: (url) => store("readonly", (files) => files.get(url)).then((file) => file ?? null, () => null),
  drop(url) {
    this.pause(url, false);
    return store("readwrite", (files) => files.delete(url)).catch(() => {});
  },
  // One entry each: other tabs have their own.
  pause: (url, yes) => memory.set(`paused.${url}`, yes || null),
  isPaused: (url) => memory.get(`paused.${url}`, false),
};
