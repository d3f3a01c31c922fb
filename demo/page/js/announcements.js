// Reads each finished answer out once: screen readers read the status region when its text changes, and skip the growing text.

const known = new Map();  // number of the exchange -> what was read

/**
 * @param {HTMLElement} log the conversation
 * @param {HTMLElement} status the region that is read out
 * @param {boolean} silent for a conversation that is only shown again
 */
export function announce(log, status, silent) {
  const texts = [];
  for (const [index, article] of [...log.children].entries()) {
    const text = article.dataset.announcement || '';
    if (text && text !== known.get(index)) texts.push(text);
    known.set(index, text);
  }
  for (const index of known.keys()) if (index >= log.childElementCount) known.delete(index);
  if (silent) return;
  if (texts.length) status.textContent = texts.join(' ');
  else if (log.querySelector('.answer[aria-busy]')) status.textContent = '';  // so that the same answer is read again
}
