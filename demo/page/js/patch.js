// Keyed DOM patch: changes only what differs, so that a disclosure stays open, a focus stays and a custom element goes on.

const USER_ATTRIBUTES = {DETAILS: ['open'], VIDEO: ['controls']};  // set by the user or the browser: an update keeps them

function keyOf(node) { return node.nodeType === 1 ? node.dataset.key : undefined; }

function isSameNode(a, b) { return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b); }

/** Custom elements draw their own children from their attributes. */
function ownsChildren(node) { return node.nodeName.includes('-'); }

function patchAttributes(current, updated) {
  const preserved = USER_ATTRIBUTES[current.nodeName] || [];
  for (const {name} of [...current.attributes]) {
    const own = ownsChildren(current) && !name.startsWith('data-');  // such as the class and the role that it gave itself
    if (!updated.hasAttribute(name) && !preserved.includes(name) && !own) current.removeAttribute(name);
  }
  for (const {name, value} of [...updated.attributes]) {
    if (current.getAttribute(name) !== value) current.setAttribute(name, value);
  }
}

function patchNode(current, updated) {
  if (current.nodeType === 3) { if (current.data !== updated.data) current.data = updated.data; return; }
  if (current.nodeType !== 1) return;
  patchAttributes(current, updated);
  if (!ownsChildren(current)) patchChildren(current, updated);
}

/** Keyed elements are looked up among their siblings and never moved: moving an element restarts what it plays. */
function patchChildren(current, updated) {
  let cursor = current.firstChild;
  function removeAtCursor() { const node = cursor; cursor = cursor.nextSibling; node.remove(); }
  for (const next of [...updated.childNodes]) {
    let match = cursor;
    if (keyOf(next)) while (match && keyOf(match) !== keyOf(next)) match = match.nextSibling;
    if (match && isSameNode(match, next)) {
      while (cursor !== match) removeAtCursor();
      patchNode(match, next);
      cursor = match.nextSibling;
    } else if (cursor && !keyOf(cursor) && !keyOf(next)) {
      const replaced = cursor;
      cursor = cursor.nextSibling;
      replaced.replaceWith(next);
    } else {
      current.insertBefore(next, cursor);
    }
  }
  while (cursor) removeAtCursor();
}

/**
 * Brings the elements in `container` to a state of the server.
 * @param {HTMLElement} container the conversation
 * @param {number} count how many exchanges there are
 * @param {Record<string, string>} changed HTML by the number of the exchange, escaped by the server
 * @returns {HTMLElement[]} the elements that are new
 */
export function patchExchanges(container, count, changed) {
  const added = [];
  while (container.childElementCount > count) container.lastElementChild.remove();
  for (const index of Object.keys(changed).map(Number).sort((a, b) => a - b)) {
    const template = document.createElement('template');  // inert: its images and media are not loaded
    template.innerHTML = changed[index];
    const next = template.content.firstElementChild, current = container.children[index];
    if (current && isSameNode(current, next)) {
      patchNode(current, next);
    } else {
      if (current) current.replaceWith(next); else container.append(next);
      added.push(next);
    }
  }
  return added;
}
