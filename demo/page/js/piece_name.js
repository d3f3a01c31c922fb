// The name of a piece in a list: a button that opens the piece, and a field in its place while it is renamed.

const MAX_NAME = 80;  // characters, as the server takes them

/**
 * @param {{open: () => void, rename: (name: string) => Promise<boolean>}} actions open: the name was clicked; rename: whether
 *   the server took the new one
 * @returns {{element: HTMLElement, update: (name: string) => void, edit: () => void}} edit: makes the name a field; Enter takes
 *   it over, Escape does not
 */
export function createPieceName({open, rename}) {
  const element = document.createElement('div'), button = document.createElement('button');
  element.className = 'piece-name';
  button.type = 'button';
  button.title = 'Go to its card (F2: rename)';
  button.addEventListener('click', open);
  button.addEventListener('keydown', event => {
    if (event.key !== 'F2') return;
    event.preventDefault();
    edit();
  });
  element.append(button);
  let shown = '';

  function edit() {
    const field = document.createElement('input');
    let over = false;  // a field that is taken away loses the focus, too
    field.type = 'text';
    field.maxLength = MAX_NAME;
    field.value = shown;
    field.setAttribute('aria-label', 'Name of the piece');
    field.addEventListener('keydown', event => {
      event.stopPropagation();  // the keys of the player and of the drawer are not meant
      if (event.key === 'Enter') { event.preventDefault(); end(true, true); }
      if (event.key === 'Escape') { event.preventDefault(); end(false, true); }
    });
    field.addEventListener('blur', () => end(true, false));
    element.replaceChildren(field);
    field.focus();
    field.select();

    function end(take, focus) {
      if (over) return;
      over = true;
      const name = field.value.trim();
      element.replaceChildren(button);
      if (focus) button.focus();
      if (!take || !name || name === shown) return;
      button.textContent = name;  // until the server's state says the same, or something else
      rename(name).then(taken => { if (!taken) button.textContent = shown; });
    }
  }

  return {
    element,
    edit,
    update(name) {
      shown = name;
      button.textContent = name;
    },
  };
}
