// Scores as the server sends them (demo/service/score_view.py), each fetched once: switching between versions draws at once.

const KEPT_SCORES = 24;
const scores = new Map();  // URL -> promise, the newest last

/**
 * @typedef {object} Part of a score: name for people, part for edits, label (its instrument), notes [start, duration, pitch, velocity]
 * @typedef {{start: number, end: number, number: number}} Bar
 * @typedef {{seconds: number, beat: number, pitches: string[], bars: Bar[], ending: {start: number, end: number}, summary: string,
 *   sections: {start: number, name: string}[], chords: {start: number, end: number, name: string}[], parts: Part[]}} Score
 */

/** @param {string} url of a version's score @returns {Promise<Score>} an Error with one sentence if it cannot be had */
export function loadScore(url) {
  const known = scores.get(url);
  if (known) return known;
  const score = fetchScore(url);
  scores.set(url, score);
  score.catch(() => scores.delete(url));  // the next try asks again
  if (scores.size > KEPT_SCORES) scores.delete(scores.keys().next().value);
  return score;
}

async function fetchScore(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(await refusalOf(response, 'The notes'));
  return response.json();
}

/** The sentence of a refusal. @param {Response} response @param {string} what was asked for @returns {Promise<string>} */
export async function refusalOf(response, what) {
  const answer = await response.json().catch(() => ({}));  // a proxy may answer with a page
  return typeof answer.detail === 'string' ? answer.detail : `${what} could not be loaded (status ${response.status}); try again.`;
}
