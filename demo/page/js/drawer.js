// Drawers at the side of the window: the settings and the library. One is open at a time; Escape and a click beside it close it.

const drawers = new Map();  // id -> {drawer, openers}

function isOpen({drawer}) { return drawer.classList.contains('open'); }

function show(id, open, {focus = true} = {}) {
  const {drawer, openers} = drawers.get(id);
  if (open) for (const other of drawers.keys()) if (other !== id && isOpen(drawers.get(other))) show(other, false, {focus: false});
  const inside = drawer.contains(document.activeElement);
  drawer.classList.toggle('open', open);
  for (const opener of openers) opener.setAttribute('aria-expanded', open);
  if (open && focus) drawer.focus();  // itself: a field that had it would open a phone's keyboard
  else if (focus && (inside || document.activeElement === document.body)) openers[0].focus();
}

/**
 * Makes an element a drawer with its openers, the buttons with `data-opens=ID`, and closers, those with `data-closes=ID`.
 * @param {string} id of the element
 * @param {string} label its accessible name
 */
export function makeDrawer(id, label) {
  const drawer = document.getElementById(id), openers = [...document.querySelectorAll(`[data-opens=${id}]`)];
  drawers.set(id, {drawer, openers});
  drawer.classList.add('drawer');
  drawer.tabIndex = -1;
  drawer.setAttribute('role', 'dialog');
  drawer.setAttribute('aria-label', label);
  for (const opener of openers) {
    opener.setAttribute('aria-expanded', 'false');
    opener.setAttribute('aria-controls', id);
    opener.addEventListener('click', () => show(id, !isOpen(drawers.get(id))));
  }
  for (const closer of drawer.querySelectorAll(`[data-closes=${id}]`)) closer.addEventListener('click', () => show(id, false));
}

/** Opens a drawer, without moving the focus. */
export function openDrawer(id) { show(id, true, {focus: false}); }

/** Closes a drawer, without moving the focus. */
export function closeDrawer(id) { if (isOpen(drawers.get(id))) show(id, false, {focus: false}); }

document.addEventListener('keydown', event => {
  if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  for (const [id, entry] of drawers) if (isOpen(entry)) show(id, false);
});
document.addEventListener('pointerdown', event => {
  for (const [id, entry] of drawers) {
    const beside = !event.target.closest('.drawer, [data-opens], dialog, #toasts, #player-bar') && document.contains(event.target);
    if (isOpen(entry) && beside && !event.target.closest('[role=listbox], .options')) show(id, false, {focus: false});
  }
});
