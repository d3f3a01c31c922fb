// Keys of the page for the current piece: Space, arrows, B, L, M. A control that has the focus keeps the keys that it uses itself.

const STEP = 5;  // seconds of an arrow key

const NO_TEXT = ['range', 'checkbox', 'radio', 'button', 'submit', 'reset', 'file', 'color'].map(type => `:not([type=${type}])`).join('');
// What uses every key: text, lists and menus (letters go to an entry), players of the browser, dialogs.
const TYPING = `input${NO_TEXT}, textarea, select, video, audio, iframe, dialog, [contenteditable]:not([contenteditable=false]), `
  + ['textbox', 'searchbox', 'combobox', 'listbox', 'option', 'menu', 'menuitem', 'grid', 'tree', 'dialog', 'application'].map(role => `[role=${role}]`).join(', ');
const PRESSED = 'button, summary, input, [role=button], [role=tab], [role=switch], [role=checkbox], [role=radio]';  // use Space
const MOVED = 'input, [role=slider], [role=tab], [role=radio], [role=spinbutton], [role=toolbar]';  // use arrows

/**
 * @param {{transport: import('./transport.js').Transport, flip: () => void}} options flip: switches between the last two versions
 * @returns {() => void} takes the keys away again
 */
export function listenToKeys({transport, flip}) {
  const acts = {
    ' ': {run: () => transport.toggle(), owners: PRESSED},
    ArrowLeft: {run: () => transport.seek(transport.position - STEP), owners: MOVED},
    ArrowRight: {run: () => transport.seek(transport.position + STEP), owners: MOVED},
    b: {run: flip, owners: ''},
    l: {run: () => transport.toggleLoop(), owners: ''},
    m: {run: () => { transport.muted = !transport.muted; }, owners: ''},
  };
  function onKey(event) {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.isComposing) return;
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || !transport.piece || isOwned(event, act.owners)) return;
    event.preventDefault();
    if (!event.repeat || event.key.startsWith('Arrow')) act.run();
  }
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}

/** Whether what has the focus uses this key. An open dialog uses all. */
function isOwned(event, owners) {
  const target = event.composedPath()[0], selector = owners ? `${TYPING}, ${owners}` : TYPING;
  return (target instanceof Element && Boolean(target.closest(selector))) || Boolean(document.querySelector('dialog[open]'));
}
