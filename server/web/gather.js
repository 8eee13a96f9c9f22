/** Changes come in bursts: what is told of a noun is gathered, and told once. */

/**
 * @param {number} wait so long, in ms, from the first of a burst on
 * @param {(noun: string, told: {changed: string[], gone: string[], projects: string[]}) => void} tell
 * @returns {(noun: string, data: {id: string, deleted?: boolean, project_id?: string}) => void}
 */
export function gather(wait, tell) {
  const bursts = new Map();

  function end(noun) {
    const { changed, gone, projects } = bursts.get(noun);
    bursts.delete(noun);
    tell(noun, { changed: [...changed], gone: [...gone], projects: [...projects] });
  }

  return (noun, data) => {
    if (!bursts.has(noun)) {
      bursts.set(noun, { changed: new Set(), gone: new Set(), projects: new Set() });
      setTimeout(() => end(noun), wait);
    }
    const { changed, gone, projects } = bursts.get(noun);
    // The later word counts: what is restored is not gone any more.
    (data.deleted ? changed : gone).delete(data.id);
    (data.deleted ? gone : changed).add(data.id);
    if (noun === "scenes") projects.add(data.project_id);
  };
}
