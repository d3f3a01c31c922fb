// Short notes at the foot of the window, each with at most one button, read out politely.

const SECONDS = 6;
let region = null;

function regionElement() {
  if (region?.isConnected) return region;
  region = document.createElement('div');
  region.id = 'toasts';
  region.setAttribute('role', 'status');
  region.setAttribute('aria-live', 'polite');
  document.body.append(region);
  return region;
}

/**
 * Shows a note. It stays while the pointer or the focus is on it.
 * @param {string} text one sentence
 * @param {{label?: string, run?: () => unknown, seconds?: number}} [action] label and run: of its button; seconds: how long it stays
 * @returns {() => void} takes the note away
 */
export function toast(text, {label = '', run = () => {}, seconds = SECONDS} = {}) {
  const note = document.createElement('div'), words = document.createElement('span');
  note.className = 'toast';
  words.textContent = text;
  note.append(words);
  let timer = 0;
  const close = () => { clearTimeout(timer); note.remove(); };
  const wait = () => { clearTimeout(timer); timer = setTimeout(close, seconds * 1000); };
  if (label) note.append(actionButton(label, () => { close(); return run(); }));
  for (const name of ['pointerenter', 'focusin']) note.addEventListener(name, () => clearTimeout(timer));
  for (const name of ['pointerleave', 'focusout']) note.addEventListener(name, wait);
  regionElement().append(note);
  wait();
  return close;
}

function actionButton(label, run) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'small';
  button.textContent = label;
  button.addEventListener('click', async () => {
    try { await run(); } catch (error) { toast(error.message); }
  });
  return button;
}
