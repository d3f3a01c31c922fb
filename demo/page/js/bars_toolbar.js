// What can be done with selected bars: repeat them, compose them anew, keep only them, take them home as a loop.
import {element} from './dom.js';

/**
 * @param {HTMLElement} tray the place of the toolbar, below the roll: it covers nothing
 * @param {{act: (name: string, fields: object) => Promise<object>, loop(range: {start: number, end: number}): void, clear(): void}} page
 */
export function createBarsToolbar(tray, {act, loop, clear}) {
  const bar = element('div', 'bars-toolbar'), title = element('b', 'bars-title'), trouble = element('p', 'bars-trouble');
  bar.setAttribute('role', 'group');
  bar.hidden = true;
  trouble.setAttribute('role', 'alert');
  tray.append(bar);
  let bars = null, version = null, busy = false;

  async function edit(fields) {
    if (busy) return;
    setBusy(true);
    try {
      await act('edit', {piece: version.id, edit: fields});
      clear();
    } catch (error) {
      trouble.textContent = error.message;
    } finally {
      setBusy(false);
    }
  }

  function setBusy(now) {
    busy = now;
    bar.setAttribute('aria-busy', String(now));
  }

  const range = () => [bars.first, bars.last];

  function button(text, label, run, className = 'bars-action') {
    const made = element('button', className, text);
    made.type = 'button';
    if (label) { made.setAttribute('aria-label', label); made.title = label; }
    made.addEventListener('click', run);
    return made;
  }

  function link(text) {
    const made = element('a', 'bars-action', text);
    made.title = 'A WAV file of these bars without a seam at its ends';
    made.setAttribute('download', '');
    return made;
  }

  const download = link('Loop as WAV');

  /** Draws the buttons for a piece. @param {import('./score_data.js').Score | null} score @param {object} next a version */
  function update(score, next) {
    version = next;
    if (!score) return hide();
    const parts = element('span', 'bars-parts');
    parts.setAttribute('role', 'group');
    parts.setAttribute('aria-label', 'Compose one part of these bars anew');
    parts.append(element('span', '', 'Compose only'));
    for (const part of score.parts) {
      parts.append(button(part.name, `Compose only the ${part.name} of these bars anew`, () => edit({bars: range(), parts: [part.part]}), 'bars-part'));
    }
    const anew = button('Compose these anew', '', () => edit({bars: range()}), 'bars-action first');
    bar.replaceChildren(
      title, button('\u00d7', 'Clear the selection', clear, 'bars-close'), anew, button('Loop these', '', () => loop(bars)),
      button('Keep only these', '', () => edit({excerpt: range()})), download, ...(score.parts.length > 1 ? [parts] : []), trouble,
    );
  }

  /** Brings the toolbar into the window. */
  function reveal() { if (!bar.hidden) bar.scrollIntoView({block: 'nearest', behavior: 'smooth'}); }

  /** @param {{first: number, last: number, start: number, end: number}} selected */
  function show(selected) {
    const changed = bars?.first !== selected.first || bars?.last !== selected.last;
    bars = selected;
    const words = bars.first === bars.last ? `Bar ${bars.first}` : `Bars ${bars.first}\u2013${bars.last}`;
    if (changed) trouble.textContent = '';
    title.textContent = words;
    bar.setAttribute('aria-label', words);
    download.href = version.score.replace(/score$/, `loop?bars=${bars.first}-${bars.last}`);
    bar.hidden = false;
  }

  function hide() {
    bar.hidden = true;
    bars = null;
  }

  return {update, show, hide, reveal, holdsFocus: () => bar.contains(document.activeElement), destroy: () => bar.remove()};
}
