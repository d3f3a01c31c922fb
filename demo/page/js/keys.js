// Keys of the page for the piece that is loaded: Space, arrows, B, L, M. They act only where no control wants them.

const STEP = 5;  // seconds of an arrow key

// What has the focus and uses keys itself. Links do not use Space, but readers scroll with it there as elsewhere.
const OWNERS = 'input, textarea, select, button, summary, a[href], video, audio, dialog, iframe, [contenteditable=""], [contenteditable=true], '
  + '[role=button], [role=slider], [role=listbox], [role=option], [role=menu], [role=menuitem], [role=tab], [role=radio], [role=checkbox], '
  + '[role=switch], [role=combobox], [role=grid], [role=dialog], [role=textbox], [role=application]';

/**
 * @param {{transport: import('./transport.js').Transport, flip: () => void}} options flip: switches between the last two versions
 * @returns {() => void} takes the keys away again
 */
export function listenToKeys({transport, flip}) {
  const acts = {
    ' ': () => transport.toggle(),
    ArrowLeft: () => transport.seek(transport.position - STEP),
    ArrowRight: () => transport.seek(transport.position + STEP),
    b: flip,
    l: () => transport.toggleLoop(),
    m: () => { transport.muted = !transport.muted; },
  };
  function onKey(event) {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || !transport.piece || ownsKeys(event)) return;
    event.preventDefault();
    if (!event.repeat || event.key.startsWith('Arrow')) act();
  }
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}

function ownsKeys(event) {
  const target = event.composedPath()[0];
  return (target instanceof Element && Boolean(target.closest(OWNERS))) || Boolean(document.querySelector('dialog[open]'));
}
