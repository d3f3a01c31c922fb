// The text of the input, kept while the tab is open: a reload, the back button and gradio's own reload after a lost connection lose nothing.

const STORAGE_KEY = 'mumu-draft';

/** @returns {HTMLTextAreaElement | null} */
export function input() { return document.querySelector('#box textarea'); }

/** Has the browser fit the input to its text, where it can: gradio's own script does that some frames after the text has changed. */
export function fitInput() {
  if (CSS.supports('field-sizing', 'content')) document.querySelector('#dock').dataset.sizing = 'content';
}

/**
 * Puts a text into the input, as if it were typed.
 * @param {string} text
 */
export function write(text) {
  const field = input();
  field.value = text;
  field.dispatchEvent(new Event('input', {bubbles: true}));
}

/** Stores what the input holds now: gradio changes it without an event. */
export function storeDraft() { if (input()) sessionStorage.setItem(STORAGE_KEY, input().value); }

/** Restores the text of before, and stores it from now on. */
export function keepDraft() {
  const draft = sessionStorage.getItem(STORAGE_KEY);
  if (draft && input() && !input().value) write(draft);
  document.addEventListener('input', event => { if (event.target === input()) storeDraft(); });
  addEventListener('pagehide', storeDraft);
  addEventListener('visibilitychange', storeDraft, true);
}
