// "Clear": deletes the conversation after a question. restore.js offers to take that back.

import {connection} from './connection.js';
import {ask} from './question.js';
import {toast} from './toasts.js';

function questionText(pieces) {
  const what = pieces === 0 ? '' : pieces === 1 ? ' and its piece' : ` and its ${pieces} pieces`;
  return `Delete this conversation${what}?`;
}

/** Connects the button with `data-act=clear`. */
export function watchClear() {
  const button = document.querySelector('[data-act=clear]');
  button.addEventListener('click', async () => {
    if (!await ask(questionText(connection.state?.library?.length ?? 0), 'Delete')) return;
    try { await connection.act('clear'); } catch (error) { toast(error.message); }
    document.querySelector('#box textarea')?.focus({preventScroll: true});
  });
  connection.addEventListener('state', ({detail}) => { button.hidden = detail.count === 0; });
}
