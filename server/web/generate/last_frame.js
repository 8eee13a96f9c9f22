/** The last frame of a video, which the next shot may begin with. */

import { h } from "../dom.js";

const WORDS = "The last frame of this video cannot be taken here.";

/**
 * @param {string} source a URL of ours, or of a file of this device
 * @returns {Promise<Blob>} a PNG
 */
export async function lastFrame(source) {
  const video = h("video", { preload: "auto", playsinline: true });
  video.muted = true;
  const heard = (name) =>
    new Promise((resolve, reject) => {
      video.addEventListener(name, resolve, { once: true });
      video.addEventListener("error", () => reject(new Error(WORDS)), { once: true });
    });
  try {
    const loaded = heard("loadeddata");
    video.src = source;
    await loaded;
    const sought = heard("seeked");
    video.currentTime = video.duration;
    await sought;
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) throw new Error(WORDS);
    return blob;
  } catch (error) {
    // A video that is still at its provider shows, but does not give its pixels away.
    throw error.name === "SecurityError" ? new Error(`${WORDS} Save it first.`) : error;
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}
