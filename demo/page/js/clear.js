// "Clear": deletes the conversation after a question, and offers to take that back for as long as the server can.

import {connection} from './connection.js';
import {ask} from './question.js';
import {toast} from './toasts.js';

let closeUndo = null;

function questionText(pieces) {
  const what = pieces === 0 ? '' : pieces === 1 ? ' and its piece' : ` and its ${pieces} pieces`;
  return `Delete this conversation${what}?`;
}

/** Connects the button with `data-act=clear`, and follows what other tabs of the conversation do. */
export function watchClear() {
  const button = document.querySelector('[data-act=clear]');
  button.addEventListener('click', async () => {
    if (!await ask(questionText(connection.state?.library?.length ?? 0), 'Delete')) return;
    try { await connection.act('clear'); } catch (error) { toast(error.message); }
    document.querySelector('#box textarea')?.focus({preventScroll: true});
  });
  connection.addEventListener('state', ({detail}) => {
    button.hidden = detail.count === 0;
    if (detail.undo_clear === null || detail.undo_clear === undefined) { closeUndo?.(); closeUndo = null; return; }
    if (closeUndo) return;
    closeUndo = toast('The conversation is deleted.', {label: 'Undo', seconds: detail.undo_clear, run: () => connection.act('restore')});
  });
}
