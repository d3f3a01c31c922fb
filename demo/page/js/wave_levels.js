// Levels of a piece as bars. They are absolute, so that a louder version looks louder beside a quieter one.
import {LEVEL_BARS} from './pcm_track.js';

const SMALLEST = 2;  // height of a silent bar, of 100
const SHAPE = 0.7;  // exponent between level and height: quiet music stays visible

/**
 * @param {string} hex two digits a bar, or "" @param {Uint8Array | null} live levels of what has arrived, used without hex
 * @returns {ArrayLike<number>} 0 to 255 a bar
 */
export function levelsOf(hex, live) {
  if (!hex) return live ?? new Uint8Array(LEVEL_BARS);
  return Uint8Array.from({length: hex.length / 2}, (_, index) => parseInt(hex.slice(2 * index, 2 * index + 2), 16));
}

/** An SVG path of upright bars in a box of 240 by 100. @param {ArrayLike<number>} levels @param {number} group bars drawn as one */
export function barsPath(levels, group) {
  const count = Math.max(1, Math.floor(levels.length / group)), width = 240 / count, bar = 0.64 * width;
  let path = '';
  for (let index = 0; index < count; index++) {
    let level = 0;
    for (let part = 0; part < group; part++) level = Math.max(level, levels[index * group + part] ?? 0);
    const height = Math.max(SMALLEST, 96 * (level / 255) ** SHAPE), left = index * width + 0.18 * width;
    path += `M${left.toFixed(2)} ${(50 - height / 2).toFixed(1)}h${bar.toFixed(2)}v${height.toFixed(1)}h${(-bar).toFixed(2)}z`;
  }
  return path;
}
