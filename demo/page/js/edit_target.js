// Which piece the form of a change is about: the one on whose card "More…" was clicked, or else the last one.
import {openDrawer} from './drawer.js';
import {outgoing} from './outbox.js';

const LONGEST_NAME = 40;  // characters on the button
let target = null;  // {piece, name}
let usual = '';  // the button's own text

function button() { return document.querySelector('#change'); }

function aim(next) {
  target = next;
  if (!button()) return;
  usual ||= button().textContent;
  const name = next && next.name.length > LONGEST_NAME ? `${next.name.slice(0, LONGEST_NAME - 1)}\u2026` : next?.name;
  button().textContent = next ? `Change \u201c${name}\u201d` : usual;
}

/** Opens the group of the form's fields, which gradio draws when it is opened for the first time, and calls `run` then. */
function openFields(run) {
  const group = document.querySelector('#edit'), toggle = group.querySelector('button.label-wrap');
  if (!button()) {
    const drawn = new MutationObserver(() => {
      if (!button()) return;
      drawn.disconnect();
      run();
      group.scrollIntoView({block: 'start'});  // before, it had no height to scroll by
    });
    drawn.observe(group, {childList: true, subtree: true});
  }
  if (!toggle.classList.contains('open')) toggle.click();
  if (button()) run();
  group.scrollIntoView({block: 'start'});
  toggle.focus({preventScroll: true});
}

/** Opens the form for the piece of a card, and closes its aim with the drawer. */
export function watchEditForm() {
  document.addEventListener('open-edit-form', ({target: source, detail}) => {
    const version = source.closest('music-card')?.version;
    openDrawer('settings');
    openFields(() => aim({piece: detail.piece, name: version?.title || version?.label || 'this piece'}));
  });
  const drawer = document.querySelector('#settings');
  new MutationObserver(() => { if (target && !drawer.classList.contains('open')) aim(null); })
    .observe(drawer, {attributes: true, attributeFilter: ['class']});
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
