// Which piece the form of a change is about: the one on whose card "More…" was clicked, or else the last one.
import {openDrawer} from './drawer.js';
import {outgoing} from './outbox.js';

const LONGEST_NAME = 40;  // characters on the button
let target = null;  // {piece, name}
let usual = '';  // the button's own text

function button() { return document.querySelector('#change'); }

function aim(next) {
  usual ||= button().textContent;
  target = next;
  const name = next && next.name.length > LONGEST_NAME ? `${next.name.slice(0, LONGEST_NAME - 1)}\u2026` : next?.name;
  button().textContent = next ? `Change \u201c${name}\u201d` : usual;
}

/** Opens the form for the piece of a card, and closes its aim with the drawer. */
export function watchEditForm() {
  document.addEventListener('open-edit-form', ({target: source, detail}) => {
    const card = source.closest('music-card'), version = card?.version;
    openDrawer('settings');
    aim({piece: detail.piece, name: version?.title || version?.label || 'this piece'});
    const group = document.querySelector('#edit'), toggle = group.querySelector('button.label-wrap');
    if (!toggle.classList.contains('open')) toggle.click();
    group.scrollIntoView({block: 'start'});
    toggle.focus({preventScroll: true});
  });
  new MutationObserver(() => {
    if (target && !document.querySelector('#settings').classList.contains('open')) aim(null);
  }).observe(document.querySelector('#settings'), {attributes: true, attributeFilter: ['class']});
}

/**
 * The inputs of a change, with the piece that it is about in the last place. The message in the box is sent for the last piece only.
 * @param {Array<any>} values as gradio has them: token, message, settings, form, and a place for the piece
 */
export async function outgoingChange(values) {
  const piece = target?.piece ?? '';
  const sent = await outgoing(values, !piece);
  return [...sent.slice(0, -1), piece];
}

/** The form's values after a change was taken: those that ask for nothing. @param {Array<any>} empty */
export function emptied(empty) {
  aim(null);
  return empty;
}
