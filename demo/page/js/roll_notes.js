// The notes of a part as one SVG path, and which note lies under a point. Pure functions: they know no page.

export const TIME_SCALE = 100;  // units of a drawing a second
const LEAST_ROWS = 13;  // an octave: two neighbouring pitches are no huge blocks
const FREE = 0.24;  // of a row, between a note and the one above
const LEAST_HEIGHT = 0.08;  // of the lane: a note of a part with many pitches covers a little of the rows beside its own
const REACH = 6;  // pixels around a note that still count as the note
const SIGNS = {'♯': 1, '♭': -1};

/**
 * The rows of a part's lane, from the top: pitches, or for drums the keys that are played.
 * @param {import('./score_data.js').Part} part
 * @returns {{count: number, rowOf(pitch: number): number}}
 */
export function rowsOf(part) {
  const pitches = [...new Set(part.notes.map(note => note[2]))].sort((a, b) => b - a);
  if (part.keys) return {count: Math.max(pitches.length, 1), rowOf: pitch => pitches.indexOf(pitch)};
  const span = pitches[0] - pitches.at(-1) + 1, count = Math.max(LEAST_ROWS, span + 2), free = (count - span) / 2;
  return {count, rowOf: pitch => pitches[0] - pitch + free};
}

/** @param {import('./score_data.js').Part} part @param {ReturnType<typeof rowsOf>} rows @returns {string} `d` of a path, a rectangle a note */
export function notesPath(part, rows) {
  const height = Math.max(1 - FREE, LEAST_HEIGHT * rows.count);
  let path = '';
  for (const [start, duration, pitch] of part.notes) {
    const x = Math.round(start * TIME_SCALE), y = rows.rowOf(pitch) + (1 - height) / 2;
    if (part.keys) path += `M${x} ${y.toFixed(2)}v${height.toFixed(2)}`;
    else path += `M${x} ${y.toFixed(2)}h${Math.max(1, Math.round(duration * TIME_SCALE))}v${height.toFixed(2)}H${x}z`;
  }
  return path;
}

/** @param {number[]} edges seconds @returns {string} `d` of vertical lines over a drawing that is one unit high */
export function linesPath(edges) { return edges.map(edge => `M${Math.round(edge * TIME_SCALE)} 0v1`).join(''); }

/**
 * The note under a point of a lane, or null.
 * @param {import('./score_data.js').Part} part
 * @param {ReturnType<typeof rowsOf>} rows
 * @param {number} seconds @param {number} row from the top, with its fraction
 * @param {{secondsPerPixel: number, rowsPerPixel: number}} scale
 */
export function noteAt(part, rows, seconds, row, {secondsPerPixel, rowsPerPixel}) {
  const reach = REACH * secondsPerPixel;
  let best = null, least = Math.max(0.5, REACH * rowsPerPixel);
  for (const note of part.notes) {
    if (note[0] > seconds + reach) break;  // notes are in order
    if (note[0] + note[1] < seconds - reach) continue;
    const distance = Math.abs(rows.rowOf(note[2]) + 0.5 - row);
    if (distance <= least) { best = note; least = distance; }
  }
  return best;
}

/** "E♭4", or "Snare". @param {import('./score_data.js').Part} part @param {number} pitch @param {string[]} names of pitch classes */
export function noteName(part, pitch, names) {
  if (part.keys) return part.keys[pitch];
  const name = names[pitch % 12];
  return name + (Math.floor((pitch - (SIGNS[name[1]] ?? 0)) / 12) - 1);
}

/** The bar at this second: the first or the last one for what lies outside. @param {import('./score_data.js').Bar[]} bars @param {number} seconds */
export function barAt(bars, seconds) { return bars.find(bar => seconds < bar.end - 1e-6) ?? bars.at(-1); }
