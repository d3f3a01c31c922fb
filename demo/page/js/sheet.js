// Sheet music and a picture of the sound, below the roll, on demand: nothing is loaded before its button is pressed.
import {element} from './dom.js';
import {refusalOf} from './score_data.js';

const NARROW = 560;  // pixels below which pages for phones are engraved
let count = 0;

/**
 * @param {HTMLElement} container @param {object} version of a card
 * @returns {{update(version: object): void, destroy(): void}}
 */
export function createSheet(container, version) {
  const row = element('div', 'roll-extras'), panel = element('div', 'sheet');
  panel.id = `sheet-${++count}`;
  panel.hidden = true;
  const buttons = {sound: disclosure('See the sound'), sheet: disclosure('Sheet music')};  // a recording has the first alone
  row.append(...Object.values(buttons));
  container.append(row, panel);
  let open = '', page = 1, pages = 0, shown = '';

  function disclosure(text) {
    const button = element('button', 'roll-extra', text);
    button.type = 'button';
    button.setAttribute('aria-controls', panel.id);
    return button;
  }

  function toggle(name) {
    open = open === name ? '' : name;
    shown = '';
    page = 1;
    draw();
  }

  async function draw() {
    for (const [name, button] of Object.entries(buttons)) button.setAttribute('aria-expanded', String(open === name));
    panel.hidden = !open;
    const wanted = `${open} ${version.id}`;
    if (!open || shown === wanted) return;
    shown = wanted;
    if (open === 'sound') return showSound();
    await showSheet(() => shown === wanted);
  }

  async function showSheet(isWanted) {
    const size = container.clientWidth < NARROW ? 'narrow' : 'wide';
    say('Engraving the sheet music\u2026');
    try {
      const response = await fetch(`${version.sheet}?size=${size}`);
      if (!response.ok) throw new Error(await refusalOf(response, 'The sheet music'));
      ({pages} = await response.json());
      if (isWanted()) showPage(size);
    } catch (error) {
      if (isWanted()) fail(error.message);
    }
  }

  function showPage(size) {
    const image = element('img', `sheet-page ${size}`), words = element('span', 'sheet-number', `Page ${page} of ${pages}`);
    image.alt = `Sheet music of ${version.title || 'the piece'}, page ${page} of ${pages}`;
    image.addEventListener('error', () => fail('The page could not be loaded; open the sheet music again.'));
    image.src = `${version.sheet}?page=${page}&size=${size}`;
    words.setAttribute('role', 'status');
    const turn = step => {
      const focused = document.activeElement?.textContent;
      page += step;
      showPage(size);
      const twin = [...panel.querySelectorAll('button')].find(button => button.textContent === focused && !button.disabled);
      (twin ?? panel.querySelector('button:not(:disabled)'))?.focus({preventScroll: true});
    };
    const previous = pageButton('Previous page', page > 1, () => turn(-1)), next = pageButton('Next page', page < pages, () => turn(1));
    const bar = element('div', 'sheet-bar');
    if (pages > 1) bar.append(previous, words, next);
    panel.replaceChildren(image, bar);
  }

  function showSound() {
    const image = element('img', 'sheet-sound'), dark = document.body.classList.contains('dark') ? 1 : 0;
    image.alt = `Spectrogram of ${version.title || 'the piece'}: which pitches sound, and when, from 20 Hz to 16 kHz`;
    image.addEventListener('error', () => fail('The picture could not be drawn; the piece may be still in the making, or others wait for theirs.'));
    image.src = `${version.url.split('?')[0]}/spectrogram?dark=${dark}`;
    panel.replaceChildren(image);
  }

  function say(words) { panel.replaceChildren(element('p', 'sheet-words', words)); }

  function fail(words) {
    shown = '';
    say(words);
  }

  function update(next) {
    version = next;
    buttons.sheet.hidden = !version.sheet;
    buttons.sound.hidden = !version.complete;
    row.hidden = version.kind === 'upload' && !version.sheet;
    if (open === 'sheet' && !version.sheet) open = '';
    draw();
  }

  for (const [name, button] of Object.entries(buttons)) button.addEventListener('click', () => toggle(name));
  update(version);
  return {update, destroy() { row.remove(); panel.remove(); }};
}

function pageButton(text, possible, run) {
  const button = element('button', 'roll-extra', text);
  button.type = 'button';
  button.disabled = !possible;
  button.addEventListener('click', run);
  return button;
}
