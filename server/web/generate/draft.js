/**
 * What the next visit of the generate view begins with, set by other views before they go there:
 *
 *   draft.prompt   words
 *   draft.image    {file} to be sent to the library, or {asset}: the first frame; of a video, its
 *                  last frame
 *   draft.take()   both, once
 */

export const draft = {
  /** @type {string | null} */
  prompt: null,
  /** @type {{file?: File, asset?: object} | null} */
  image: null,
  take() {
    const { prompt, image } = this;
    [this.prompt, this.image] = [null, null];
    return { prompt, image };
  },
};
