// Notes about what was deleted, each with "Undo" for as long as the server can bring it back: in every tab, and after a reload.

import {connection} from './connection.js';
import {toast} from './toasts.js';

const notes = new Map();  // what was deleted -> takes its note away

function deletions({undo_clear: seconds, deleted}) {
  const pieces = (deleted ?? []).map(({id, title, seconds}) => ({
    key: `piece ${id}`, text: `Deleted \u201c${title}\u201d.`, seconds, run: () => connection.act('restore_piece', {piece: id}),
  }));
  if (typeof seconds !== 'number') return pieces;
  return [...pieces, {key: 'conversation', text: 'The conversation is deleted.', seconds, run: () => connection.act('restore')}];
}

function show(state) {
  const current = deletions(state), keys = new Set(current.map(({key}) => key));
  for (const [key, close] of notes) if (!keys.has(key)) { close(); notes.delete(key); }
  for (const {key, text, seconds, run} of current) {
    if (!notes.has(key)) notes.set(key, toast(text, {label: 'Undo', seconds, run}));
  }
}

/** Follows the deletions of this conversation. */
export function watchDeletions() { connection.addEventListener('state', ({detail}) => show(detail)); }
