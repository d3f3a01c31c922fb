// Notes about what was deleted, each with "Undo" for as long as the server can bring it back: in every tab, and after a reload.

import {connection} from './connection.js';
import {toast} from './toasts.js';

const LATER = 1500;  // milliseconds by which a deadline is another deletion's, not the same one's of another state
const notes = new Map();  // what was deleted -> {close: takes its note away, until: milliseconds}

function deletions({undo_clear: seconds, deleted}) {
  const pieces = (deleted ?? []).map(({id, title, seconds}) => ({
    key: `piece ${id}`, text: `Deleted \u201c${title}\u201d.`, seconds, run: () => connection.act('restore_piece', {piece: id}),
  }));
  if (typeof seconds !== 'number') return pieces;
  return [...pieces, {key: 'conversation', text: 'The conversation is deleted.', seconds, run: () => connection.act('restore')}];
}

function show(state) {
  const current = deletions(state), keys = new Set(current.map(({key}) => key));
  for (const [key, {close}] of notes) if (!keys.has(key)) { close(); notes.delete(key); }
  for (const {key, text, seconds, run} of current) {
    const until = Date.now() + 1000 * seconds, shown = notes.get(key);
    if (shown && until < shown.until + LATER) continue;
    shown?.close();  // deleted once more
    notes.set(key, {until, close: toast(text, {label: 'Undo', seconds, run})});
  }
}

/** Follows the deletions of this conversation. */
export function watchDeletions() { connection.addEventListener('state', ({detail}) => show(detail)); }
