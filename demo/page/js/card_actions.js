// What else can be done with a version: take a change back, another take, the report of what changed, and its seed.
import {textButton} from './controls.js';
import {element} from './dom.js';
import {ask} from './question.js';

/**
 * @param {HTMLElement} container
 * @param {{run: (name: string, fields: object) => Promise<void>}} page run: an action of the session
 * @returns {{home: HTMLElement, update(card: object, version: object | null): void, destroy(): void}} home: the place of the take-home menu
 */
export function createActions(container, {run}) {
  let card = {}, version = null, isWhole = false;
  const piece = () => ({piece: version.id});
  const report = element('p', 'card-report'), row = element('div', 'card-actions'), change = element('div', 'card-change');
  const whole = textButton('quiet card-whole', '', () => { isWhole = !isWhole; drawReport(); });
  const buttons = {
    undo: textButton('quiet undo-change', 'Undo', () => run('undo', piece())),
    redo: textButton('quiet undo-change', 'Redo', () => run('redo', piece())),
    another: textButton('quiet', 'Another take', () => run('another', piece())),
  };
  const details = element('details', 'card-details'), summary = element('summary', '', 'Details'), seed = element('p', 'card-seed');
  const again = textButton('quiet', 'Again with the same seed', () => run('repeat', {exchange: card.exchange, take: takeNumber(), new_seed: false}));
  const reuse = textButton('quiet', 'Use its settings', () => run('reuse', piece()));
  const remove = textButton('quiet', 'Delete', async () => {
    if (await ask(`Delete \u201c${version.title || version.label}\u201d and its files?`, 'Delete')) await run('delete', piece());
  });
  const more = element('div', 'card-actions');
  more.append(again, reuse, remove);
  details.append(summary, seed, more);
  const home = element('div', 'card-home');
  row.append(home, buttons.another, details);
  change.append(report, whole, buttons.undo, buttons.redo);
  container.replaceChildren(row, change);  // side by side on a wide card
  const resized = new ResizeObserver(drawReport);
  resized.observe(container);

  /** Cuts the report to the lines that are reserved for it, with a button for the rest: nothing moves when it comes. */
  function drawReport() {
    change.classList.toggle('whole', isWhole);
    whole.hidden = !isWhole;  // first: it takes room from the report
    if (!isWhole) whole.hidden = report.scrollHeight <= report.clientHeight;
    whole.textContent = isWhole ? 'Less' : 'More';
    whole.setAttribute('aria-expanded', String(isWhole));
    whole.setAttribute('aria-label', isWhole ? 'Less about this change' : 'More about this change');
  }

  function takeNumber() {
    const takes = card.versions.filter(item => item.kind === 'take'), root = rootOf(version, card.versions);
    return Math.max(0, takes.findIndex(item => item.id === root.id));
  }

  return {
    home,
    update(newCard, newVersion) {
      [card, version] = [newCard, newVersion];
      const actions = version?.actions ?? [];
      for (const [name, button] of Object.entries(buttons)) button.hidden = !actions.includes(name);
      if (report.textContent !== (version?.report ?? '')) isWhole = false;
      report.textContent = version?.report ?? '';
      drawReport();
      seed.textContent = version?.seed === null || version?.seed === undefined ? '' : `Seed ${version.seed}: the same seed and settings give the same piece.`;
      again.hidden = !actions.includes('again');
      remove.hidden = !actions.includes('delete');
      reuse.hidden = !actions.includes('again');
      details.hidden = !actions.length;
    },
    destroy() { resized.disconnect(); },
  };
}

/** The take that a chain of edits began with. */
function rootOf(version, versions) {
  for (let item = version; ;) {
    const parent = versions.find(other => other.id === item.parent);
    if (!parent || item.kind === 'take') return item;
    item = parent;
  }
}
