// The head of a card: title, star and facts of the version in the foreground, and a tab for each version.
import {foldedIds} from './card_choice.js';
import {icon, labelledButton, textButton} from './controls.js';
import {element} from './dom.js';
import {watchEnds} from './scroll_ends.js';
import {clock} from './time_format.js';

/**
 * @param {HTMLElement} container
 * @param {{choose: (id: string) => void, flip: () => void, run: (name: string, fields: object) => Promise<void>}} page
 *   choose: brings a version to the foreground; flip: goes to the one before; run: an action of the session
 * @returns {{update(card: object, version: object | null): void}}
 */
export function createHeader(container, {choose, flip, run}) {
  const head = element('div', 'card-head'), title = element('h3', 'card-title'), facts = element('p', 'card-facts');
  const star = labelledButton('card-star', 'Star', icon('star'));
  const row = element('div', 'card-versions'), tabs = element('div', 'card-tabs');
  const more = textButton('card-more', '', () => { unfolded = !unfolded; draw(); });
  const ab = textButton('card-flip', 'A/B', flip), keep = textButton('card-keep', 'Keep', () => run('keep', {piece: version.id}));
  tabs.setAttribute('role', 'group');
  tabs.setAttribute('aria-label', 'Versions');
  keep.title = 'Keep this one; the other takes fold away';
  keep.setAttribute('aria-label', 'Keep this one');
  ab.title = 'Switch between the last two versions at the same place (B)';
  ab.setAttribute('aria-label', 'A/B: switch between the last two versions');
  star.addEventListener('click', () => run('star', {piece: version.id, on: !version.starred}));
  head.append(title, star, facts);
  row.append(tabs, more, ab, keep);
  container.replaceChildren(head, row);
  const ends = watchEnds(tabs);
  new ResizeObserver(showChosen).observe(tabs);
  let card = {versions: []}, version = null, unfolded = false, drawn = '';

  function draw() {
    title.textContent = titleOf(version, card.versions);
    facts.textContent = version?.complete ? factsText(version) : '';
    for (const line of [title, facts]) line.title = line.textContent;  // it may be cut
    star.style.visibility = version?.complete ? '' : 'hidden';
    star.setAttribute('aria-pressed', String(Boolean(version?.starred)));
    const canKeep = Boolean(version?.actions?.includes('keep')), isWorking = ['waiting', 'working'].includes(card.status);
    keep.hidden = !canKeep && !(isWorking && card.versions.filter(({kind}) => kind === 'take').length > 1);
    keep.style.visibility = canKeep ? '' : 'hidden';  // its place beside the tabs is kept while takes are made
    ab.hidden = card.versions.length < 2;
    container.classList.toggle('several', card.versions.length > 1);
    const folded = foldedIds(card.versions);
    folded.delete(version?.id);
    more.hidden = !folded.size;
    more.textContent = unfolded ? 'Fewer' : `${folded.size} more ${folded.size === 1 ? 'take' : 'takes'}`;
    more.setAttribute('aria-expanded', String(unfolded));
    drawTabs(card.versions.filter(item => unfolded || !folded.has(item.id)));
  }

  function drawTabs(versions) {
    const shown = JSON.stringify(versions.map(({id, label, undone, kept}) => [id, label, undone, kept]).concat(version?.id));
    if (shown === drawn) return;
    drawn = shown;
    const focused = tabs.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    tabs.replaceChildren(...(card.versions.length > 1 ? versions.map(tabOf) : []));
    showChosen();
    ends.update();
    if (focused) tabs.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
  }

  /** Scrolls the tab of the version in the foreground into its row. */
  function showChosen() {
    const tab = tabs.querySelector('[aria-pressed=true]');
    if (!tab) return;
    const place = tab.getBoundingClientRect(), frame = tabs.getBoundingClientRect();
    if (place.left >= frame.left && place.right <= frame.right) return;  // it is there: the others stay where they are
    tabs.scrollLeft += place.left - frame.left - (tabs.clientWidth - tab.offsetWidth) / 2;
  }

  function tabOf(item) {
    const tab = textButton('card-tab', item.label || item.title, () => choose(item.id));
    tab.dataset.id = item.id;
    tab.setAttribute('aria-pressed', String(item.id === version?.id));
    tab.classList.toggle('undone', item.undone);
    if (item.undone) tab.setAttribute('aria-label', `${item.label}, taken back`);
    if (item.kept) tab.classList.add('kept');
    return tab;
  }

  return {update(newCard, newVersion) { card = newCard; version = newVersion; draw(); }};
}

/** The title of a version; of one that is still made, that of the version that it changes. */
function titleOf(version, versions) {
  for (let item = version; item; item = versions.find(({id}) => id === item.parent)) if (item.title) return item.title;
  return version?.label || 'New music';
}

/** "120 bpm · E minor · 4/4 · 24 bars · 0:48" @param {object} version @returns {string} */
export function factsText({facts, seconds}) {
  const words = facts ? [`${facts.tempo} bpm`, facts.key, facts.metre] : [];
  if (facts?.bars) words.push(`${facts.bars} ${facts.bars === 1 ? 'bar' : 'bars'}`);  // a piece may be shorter than a bar
  return [...words, ...(seconds ? [clock(seconds)] : [])].join(' \u00b7 ');
}
