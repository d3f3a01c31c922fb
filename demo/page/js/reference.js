// "About the last piece": the link leads to the piece that was meant; the button beside it chooses another one.

import {connection} from './connection.js';
import {factsLine} from './library.js';
import {cardWith} from './music_card.js';
import {toast} from './toasts.js';

function reducedMotion() { return matchMedia('(prefers-reduced-motion: reduce)').matches; }

/** Scrolls to the card of a piece and marks it for a moment. */
export function showPiece(id) {
  const card = cardWith(id);
  if (!card) { toast('That piece is no longer here.'); return; }
  card.scrollIntoView({behavior: reducedMotion() ? 'auto' : 'smooth', block: 'center'});
  card.classList.add('pointed-at');
  setTimeout(() => card.classList.remove('pointed-at'), 1600);
}

/** A list of the library's pieces below the button; choosing one answers the exchange again about that piece. */
function choosePiece(button, exchange) {
  const dialog = document.createElement('dialog'), title = document.createElement('h2'), list = document.createElement('ul');
  dialog.className = 'question choice';
  title.textContent = 'Which piece did you mean?';
  title.id = 'choice-title';
  dialog.setAttribute('aria-labelledby', title.id);
  for (const piece of connection.state?.library ?? []) {
    const item = document.createElement('li'), choice = document.createElement('button');
    choice.type = 'button';
    choice.className = 'small';
    choice.dataset.piece = piece.id;
    const facts = document.createElement('small');
    facts.textContent = factsLine(piece);
    choice.append(piece.title || piece.name, facts);
    choice.addEventListener('click', async () => {
      dialog.close();
      try { await connection.act('redirect', {exchange, piece: piece.id}); } catch (error) { toast(error.message); }
    });
    item.append(choice);
    list.append(item);
  }
  dialog.append(title, list);
  dialog.addEventListener('click', event => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener('close', () => { dialog.remove(); button.focus(); });
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * @param {HTMLElement} log the conversation
 */
export function watchReferences(log) {
  log.addEventListener('click', event => {
    const link = event.target.closest('a[href^="#piece-"]'), button = event.target.closest('button[data-act=redirect]');
    if (link) { event.preventDefault(); showPiece(link.getAttribute('href').slice('#piece-'.length)); }
    if (button) choosePiece(button, Number(button.dataset.exchange));
  });
}
