// Menu that a button opens: the ARIA menu button pattern, in the top layer, so that no card cuts it off.

/**
 * @typedef {{label: string, hint?: string, group?: string, href?: string, download?: string, run?: (item: MenuItem) => void}} MenuItem
 * group: heading above this item and those that follow with the same one. href: the item is a link; run: is called with it either way.
 */

const MARGIN = 8;  // pixels to the edges of the window
const GAP = 4;  // pixels to the button

/**
 * Makes `button` open a menu of `items()`, which is asked at each opening.
 * @param {HTMLButtonElement} button
 * @param {{label: string, items: () => MenuItem[]}} options label: name of the menu for screen readers
 * @returns {{close: () => void, destroy: () => void}}
 */
export function createPopupMenu(button, {label, items}) {
  let menu = null;
  button.setAttribute('aria-haspopup', 'menu');
  button.setAttribute('aria-expanded', 'false');

  function open(last = false) {
    if (menu || button.disabled || button.getAttribute('aria-disabled') === 'true') return;
    menu = buildMenu(label, items(), choose);
    button.after(menu);
    menu.showPopover();
    place();
    button.setAttribute('aria-expanded', 'true');
    menu.addEventListener('keydown', onMenuKey);
    document.addEventListener('pointerdown', onPointer, true);
    addEventListener('scroll', onScroll, true);
    addEventListener('resize', close);
    const all = entries();
    (last ? all.at(-1) : all[0])?.focus({preventScroll: true});
  }

  function close() {
    if (!menu) return;
    document.removeEventListener('pointerdown', onPointer, true);
    removeEventListener('scroll', onScroll, true);
    removeEventListener('resize', close);
    const closing = menu;
    menu = null;
    closing.remove();
    button.setAttribute('aria-expanded', 'false');
  }

  function closeToButton() {
    close();
    button.focus({preventScroll: true});
  }

  function choose(item) {
    closeToButton();
    item.run?.(item);
  }

  function entries() { return [...menu.querySelectorAll('[role=menuitem]')]; }

  function place() {
    const anchor = button.getBoundingClientRect(), width = document.documentElement.clientWidth;
    const below = innerHeight - anchor.bottom - MARGIN - GAP, above = anchor.top - MARGIN - GAP, height = menu.scrollHeight + 2;
    menu.style.maxHeight = `${innerHeight - 2 * MARGIN}px`;  // one that fits on neither side covers its button
    const beside = below < height && above >= height ? anchor.top - GAP - height : anchor.bottom + GAP;
    menu.style.left = `${Math.max(MARGIN, Math.min(anchor.left, width - menu.offsetWidth - MARGIN))}px`;
    menu.style.top = `${Math.max(MARGIN, Math.min(beside, innerHeight - MARGIN - height))}px`;
  }

  function onPointer(event) {
    if (!menu.contains(event.target) && !button.contains(event.target)) close();
  }

  function onScroll(event) {
    if (!menu.contains(event.target)) place();
  }

  function onButtonKey(event) {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    event.stopPropagation();
    open(event.key === 'ArrowUp');
  }

  function onMenuKey(event) {
    event.stopPropagation();  // the keys of the page's player are not meant
    const all = entries(), index = all.indexOf(document.activeElement);
    const moves = {ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: all.length - 1};
    if (event.key === 'Escape') {
      event.preventDefault();
      closeToButton();
    } else if (event.key === 'Tab') {
      close();
      button.focus({preventScroll: true});  // the next focus is counted from the button
    } else if (event.key in moves) {
      event.preventDefault();
      all[(moves[event.key] + all.length) % all.length]?.focus();
    } else if (event.key.length === 1 && event.key !== ' ' && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const after = [...all.slice(index + 1), ...all.slice(0, index + 1)];
      after.find(entry => entry.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    } else if (event.key === ' ' && document.activeElement.matches('a[role=menuitem]')) {
      event.preventDefault();
      document.activeElement.click();
    }
  }

  function toggle() { if (menu) close(); else open(); }

  button.addEventListener('click', toggle);
  button.addEventListener('keydown', onButtonKey);
  return {
    close,
    destroy() {
      close();
      button.removeEventListener('click', toggle);
      button.removeEventListener('keydown', onButtonKey);
    },
  };
}

function buildMenu(label, items, choose) {
  const menu = document.createElement('div');
  menu.className = 'popup-menu';
  menu.setAttribute('popover', 'manual');
  menu.setAttribute('role', 'menu');
  menu.setAttribute('aria-label', label);
  let target = menu, group;
  for (const item of items) {
    if (item.group !== group) {
      group = item.group;
      target = group ? menu.appendChild(buildGroup(group)) : menu;
    }
    target.append(buildItem(item, choose));
  }
  return menu;
}

function buildGroup(name) {
  const group = document.createElement('div'), heading = document.createElement('div');
  group.setAttribute('role', 'group');
  group.setAttribute('aria-label', name);
  heading.className = 'popup-heading';
  heading.setAttribute('aria-hidden', 'true');
  heading.textContent = name;
  group.append(heading);
  return group;
}

function buildItem(item, choose) {
  const entry = document.createElement(item.href ? 'a' : 'button');
  entry.setAttribute('role', 'menuitem');
  entry.tabIndex = -1;
  if (item.href) {
    entry.href = item.href;
    entry.download = item.download ?? '';
  } else {
    entry.type = 'button';
  }
  const name = document.createElement('span');
  name.textContent = item.label;
  entry.append(name);
  if (item.hint) {
    const hint = document.createElement('small');
    hint.textContent = item.hint;
    entry.append(' ', hint);
  }
  entry.addEventListener('click', event => {
    if (item.href && (event.ctrlKey || event.metaKey || event.shiftKey)) return;
    if (item.run) event.preventDefault();
    choose(item);
  });
  return entry;
}
