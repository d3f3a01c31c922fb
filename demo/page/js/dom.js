// Small helpers of the player's parts for elements and listeners.

/** @param {string} tag @param {string} className @param {string} [text] @returns {HTMLElement} */
export function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Adds listeners; the result removes them. @param {EventTarget} target @param {Record<string, () => void>} handlers @returns {() => void} */
export function listenTo(target, handlers) {
  for (const [name, run] of Object.entries(handlers)) target.addEventListener(name, run);
  return () => { for (const [name, run] of Object.entries(handlers)) target.removeEventListener(name, run); };
}
