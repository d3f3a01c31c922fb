// Messages on their way to the server: one at a time, in order, and kept in the input until the server has taken them.
// gradio calls `outgoing` before it sends, and `taken` or `refused` afterwards; its own order of parallel calls is not certain.

import {connection} from './connection.js';
import {input as field} from './draft.js';
import {microphoneNote} from './microphone.js';

const LONGEST_WAIT = 60_000;  // milliseconds for the message before; uploads may be checked for a while
let last = Promise.resolve();
let current = null;  // {message, release} of the call under way
const waiting = new Set();  // messages of calls that wait, as JSON
let cancelled = 0;  // calls that ended here, for each of which gradio calls `refused`

function textOf(message) { return JSON.stringify([message?.text ?? '', (message?.files ?? []).map(file => file.path)]); }

/**
 * Waits for the call before. An error ends the call in gradio, without a word and without a change of the input.
 * @param {Array<any>} values inputs of the call: the session's token, and then, where it sends one, the message
 * @param {boolean} hasMessage whether values[1] is the input's message
 */
export async function outgoing(values, hasMessage) {
  const message = hasMessage ? JSON.parse(JSON.stringify(values[1])) : null;  // now: it changes while the user types on
  const key = hasMessage ? textOf(message) : '';
  if (hasMessage && waiting.has(key)) return cancel('the same message is on its way');  // Enter twice
  if (hasMessage) waiting.add(key);
  const before = last;
  let release;
  last = new Promise(resolve => { release = () => { waiting.delete(key); clearTimeout(timer); resolve(); }; });
  const timer = setTimeout(() => release(), LONGEST_WAIT);
  await before;
  if (!await connection.reach()) { release(); return cancel('the server cannot be reached'); }
  current = {message, release};
  microphoneNote('');
  return hasMessage ? [connection.session, message, ...values.slice(2)] : [connection.session, ...values.slice(1)];
}

function cancel(reason) {
  cancelled += 1;
  throw new Error(`not sent: ${reason}`);
}

/**
 * The server has taken the call. What was sent leaves the input; what was typed since then stays.
 * @param {string} token of the session
 * @param {{text: string, files: Array<{path: string}>}} [input] what the input held a moment ago; none for a call without its message
 * @returns {object | undefined} what the input holds from now on
 */
export function taken(token, input) {
  const sent = current?.message;
  connection.follow(token);
  finish();
  if (!sent) return input;
  const paths = new Set((sent.files ?? []).map(file => file.path));
  const text = field().value;  // of this moment: gradio read its input's some time ago
  const rest = text.startsWith(sent.text ?? '') ? text.slice((sent.text ?? '').length) : text;
  return {text: rest, files: (input.files ?? []).filter(file => !paths.has(file.path))};
}

/** The server has refused the call, or it ended here. */
export function refused() {
  if (cancelled) { cancelled -= 1; return; }
  finish();
}

function finish() {
  current?.release();
  current = null;
}
