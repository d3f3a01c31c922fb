// The library: every piece of this conversation, to play, find, name, star, use again or delete.
import {createPopupMenu} from './popup_menu.js';
import {createPieceName} from './piece_name.js';
import {takeArchiveHome} from './archive.js';

/**
 * @param {HTMLElement} container
 * @param {{act: (name: string, fields: object) => Promise<object>, transport: object, toast: (text: string, action?: object) => void,
 *   session: () => string, leave?: () => void}} page session: its token; leave: closes the panel when a card is gone to
 * @returns {{update: (library: object[]) => void, destroy: () => void}}
 */
export function createLibrary(container, page) {
  const {act, transport, toast, session} = page;
  const tools = make('div', 'library-tools'), list = make('ul', 'library-list'), empty = make('p', 'library-empty');
  const filter = textButton('Starred', 'library-filter'), all = textButton('Download all', 'library-all');
  const rows = new Map();  // by id
  let library = [];
  filter.setAttribute('aria-pressed', 'false');
  tools.append(filter, all);
  empty.tabIndex = -1;
  container.replaceChildren(tools, empty, list);

  const context = {
    ...page,
    tell: error => toast(error.message),
    remove(entry) {  // restore.js offers to take it back
      if (transport.piece?.id === entry.id) transport.pause();
      act('delete', {piece: entry.id}).catch(error => toast(error.message));
    },
  };

  function onlyStarred() { return filter.getAttribute('aria-pressed') === 'true'; }

  /** The row that gets the focus if the one that has it is not among those shown: the next, or the one before; null: no change. */
  function rowAfterFocus(shown) {
    const there = [...list.children], held = there.indexOf(document.activeElement?.closest('.library-row'));
    const staying = new Set(shown.map(entry => rows.get(entry.id)?.element));
    if (held < 0 || staying.has(there[held])) return null;
    return there.slice(held).find(row => staying.has(row)) ?? there.slice(0, held).findLast(row => staying.has(row)) ?? empty;
  }

  function draw() {
    const shown = library.filter(entry => entry.starred || !onlyStarred());
    const next = rowAfterFocus(shown);
    for (const [id, row] of rows) if (!shown.some(entry => entry.id === id)) { row.destroy(); rows.delete(id); }
    shown.forEach((entry, index) => {
      if (!rows.has(entry.id)) rows.set(entry.id, createRow(entry, context));
      const row = rows.get(entry.id);
      row.update(entry);
      if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
    });
    tools.hidden = !library.length;
    all.textContent = onlyStarred() ? 'Download starred' : 'Download all';
    all.disabled = !shown.length;
    empty.hidden = shown.length > 0;
    empty.textContent = library.length ? 'No piece has a star yet.' : 'Nothing here yet. Every piece that you make is listed here.';
    if (next) (next.querySelector('button') ?? next).focus({preventScroll: true});
  }

  filter.addEventListener('click', () => {
    filter.setAttribute('aria-pressed', String(!onlyStarred()));
    draw();
  });
  all.addEventListener('click', async () => {
    const url = `page/${session()}/all.zip${onlyStarred() ? '?starred=true' : ''}`;
    all.setAttribute('aria-busy', 'true');
    await takeArchiveHome(url, toast);
    all.removeAttribute('aria-busy');
  });
  const follow = () => { for (const row of rows.values()) row.follow(); };
  for (const name of ['state', 'piece']) transport.addEventListener(name, follow);
  draw();
  return {
    update(entries) {
      library = entries;
      draw();
    },
    destroy() {
      for (const name of ['state', 'piece']) transport.removeEventListener(name, follow);
      for (const row of rows.values()) row.destroy();
      container.replaceChildren();
    },
  };
}

function createRow(first, context) {
  const {act, transport, tell, remove, leave} = context;
  const item = make('li', 'library-row'), text = make('div', 'library-text'), facts = make('p', 'library-facts');
  const play = textButton('', 'library-play'), star = textButton('', 'library-star'), more = textButton('\u22ef', 'library-more');
  let entry = first;
  const name = createPieceName({
    open: () => goToCard(entry.id, leave),
    rename: title => act('rename', {piece: entry.id, name: title}).then(() => true, error => { tell(error); return false; }),
  });
  text.append(name.element, facts);
  item.append(play, text, star, more);

  const menu = createPopupMenu(more, {label: 'This piece', items: () => [
    {label: 'Rename', run: () => name.edit()},
    {label: 'Go to its card', run: () => goToCard(entry.id, leave)},
    {label: 'Use its settings', hint: 'and its words', run: () => act('reuse', {piece: entry.id}).then(() => leave?.()).catch(tell)},
    {label: 'Delete', run: () => remove(entry)},
  ]});
  play.addEventListener('click', () => {
    if (isPlaying()) { transport.pause(); return; }
    if (transport.piece?.id !== entry.id) transport.load(entry);
    transport.play();
  });
  star.addEventListener('click', () => act('star', {piece: entry.id, on: !entry.starred}).catch(tell));

  function isPlaying() { return transport.piece?.id === entry.id && transport.playing; }

  function follow() {
    const playing = isPlaying();
    play.textContent = playing ? '\u275a\u275a' : '\u25b6';
    play.setAttribute('aria-label', `${playing ? 'Pause' : 'Play'} ${entry.title}`);
    item.classList.toggle('playing', playing);
  }

  return {
    element: item,
    follow,
    update(next) {
      entry = next;
      name.update(entry.title);
      facts.replaceChildren(factsLine(entry), timeOf(entry));
      star.textContent = entry.starred ? '\u2605' : '\u2606';
      star.setAttribute('aria-pressed', String(Boolean(entry.starred)));
      star.setAttribute('aria-label', `Star ${entry.title}`);
      more.setAttribute('aria-label', `More about ${entry.title}`);
      item.classList.toggle('undone', Boolean(entry.undone));
      follow();
    },
    destroy() {
      menu.destroy();
      item.remove();
    },
  };
}

/** What a piece is in one line, such as "0:24 · 120 bpm · E minor". @param {object} entry */
export function factsLine({seconds, facts, label, kind, undone, kept, origin}) {
  const rounded = Math.round(seconds ?? 0), known = facts ? [`${facts.tempo} bpm`, facts.key] : [];
  return [
    `${Math.floor(rounded / 60)}:${String(rounded % 60).padStart(2, '0')}`,
    ...known,
    ...kind === 'edit' && !known.includes(label) ? [label] : [],  // what was changed, unless it stands there already
    ...origin ? [`from ${origin}`] : [],
    ...kept ? ['kept'] : [],
    ...undone ? ['taken back'] : [],
  ].filter(Boolean).join(' \u00b7 ');
}

/** When a piece was made, such as " · 14:05"; a narrow drawer has no room for it. @param {object} entry */
function timeOf({when}) {
  const time = make('span', 'library-when');
  if (when) time.textContent = ` \u00b7 ${new Date(when * 1000).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit'})}`;
  return time;
}

/** Shows a piece on its card and moves the focus there. */
function goToCard(id, leave) {
  const cards = [...document.querySelectorAll('music-card')].filter(card => card.has?.(id));
  const card = cards.find(other => !other.compact) ?? cards[0];
  if (!card) return;
  leave?.();
  card.choose?.(id);
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  card.scrollIntoView({block: 'center', behavior: still ? 'auto' : 'smooth'});
  card.tabIndex = -1;
  card.focus({preventScroll: true});
}

function make(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

function textButton(text, className) {
  const button = make('button', className);
  button.type = 'button';
  button.textContent = text;
  return button;
}
