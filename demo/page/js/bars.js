// Selecting bars: a ruler of bar numbers that works with pointer and keys, and dragging over the notes. What can be done with the
// selected bars stands in a toolbar below the roll, which makes room for it.
import {barAt} from './roll_notes.js';
import {createBarsToolbar} from './bars_toolbar.js';
import {element} from './dom.js';

const DRAG_FROM = 6;  // pixels that a pointer moves before a click becomes a selection
const NUMBER_ROOM = 30;  // pixels that a bar number needs
const STEPS = [1, 2, 4, 8, 16, 32, 64];  // bars between two numbers

/**
 * @param {{plot: HTMLElement, lanes: HTMLElement, root: HTMLElement, tray: HTMLElement}} places plot: as wide as the piece; tray: holds
 *   the toolbar
 * @param {{act: Function, seek(seconds: number): void, loop(range: {start: number, end: number}): void,
 *   secondsAt(event: PointerEvent): number, reveal(seconds: number): void, position(): number}} page
 * @returns {{update(score: object, version: object): void, layout(width: number): void, clear(): void, destroy(): void}}
 */
export function createBars({plot, lanes, root, tray}, page) {
  const ruler = element('div', 'roll-ruler'), shade = element('div', 'roll-selection');
  const id = `bar-${Math.random().toString(36).slice(2, 10)}`;
  for (const [name, value] of Object.entries({
    role: 'listbox', tabindex: '0', 'aria-multiselectable': 'true', 'aria-orientation': 'horizontal',
    'aria-label': 'Bars: arrow keys move, Shift and arrow keys select several, Enter plays from here',
  })) ruler.setAttribute(name, value);
  shade.hidden = true;
  plot.append(ruler, shade);
  let score = null, selection = null, anchor = null, active = 0, drag = null;
  const toolbar = createBarsToolbar(tray, {...page, clear});

  const numberOf = index => score.bars[index]?.number;
  const range = () => ({start: score.bars[selection.first - 1].start, end: score.bars[selection.last - 1].end});

  function select(one, other) {
    selection = {first: Math.min(one, other), last: Math.max(one, other)};
    draw();
  }

  function clear() {
    selection = anchor = null;
    draw();
  }

  function draw() {
    shade.hidden = !selection || !score;
    for (const [index, option] of [...ruler.children].entries()) {
      const chosen = Boolean(selection) && index + 1 >= selection.first && index + 1 <= selection.last;
      if (option.getAttribute('aria-selected') !== String(chosen)) option.setAttribute('aria-selected', String(chosen));
      option.classList.toggle('active', index === active);
    }
    ruler.toggleAttribute('aria-activedescendant', false);
    if (score?.bars.length) ruler.setAttribute('aria-activedescendant', `${id}-${numberOf(active)}`);
    if (shade.hidden) return toolbar.hide();
    const {start, end} = range(), total = score.seconds;
    shade.style.left = `${100 * start / total}%`;
    shade.style.width = `${100 * (end - start) / total}%`;
    toolbar.show({...selection, ...range()});
  }

  function pointerBar(event) { return barAt(score.bars, page.secondsAt(event))?.number; }

  function press(event) {
    if (event.button || !score?.bars.length) return;
    const onRuler = event.currentTarget === ruler;
    drag = {x: event.clientX, bar: pointerBar(event), moved: false, extends: event.shiftKey, onRuler};
    if (onRuler || event.pointerType === 'mouse') event.currentTarget.setPointerCapture(event.pointerId);
  }

  function move(event) {
    if (!drag || (!drag.onRuler && event.pointerType !== 'mouse')) return;  // a finger on the notes scrolls
    if (!drag.moved && Math.abs(event.clientX - drag.x) < DRAG_FROM) return;
    drag.moved = true;
    anchor = drag.bar;
    select(anchor, pointerBar(event));
  }

  function release(event) {
    const ended = drag;
    drag = null;
    if (!ended) return;
    if (ended.moved) active = pointerBar(event) - 1;
    else if (ended.onRuler || ended.extends) clickBar(ended);
    else { clear(); page.seek(page.noteStart(event) ?? page.secondsAt(event)); }
    draw();
    toolbar.reveal();
  }

  /** A click on a bar number selects that bar, with Shift up to it; on the only selected one it takes the selection back. */
  function clickBar({bar, extends: further}) {
    active = bar - 1;
    if (further && anchor) return select(anchor, bar);
    if (selection?.first === bar && selection.last === bar) return clear();
    anchor = bar;
    select(bar, bar);
  }

  function onKey(event) {
    if (!score?.bars.length || event.altKey) return;
    const last = score.bars.length - 1;
    const target = {ArrowLeft: active - 1, ArrowUp: active - 1, ArrowRight: active + 1, ArrowDown: active + 1, Home: 0, End: last}[event.key];
    if (event.key === 'Escape' && selection) clear();
    else if (event.key === 'Enter') page.play(score.bars[active].start);
    else if (event.key === ' ') clickBar({bar: active + 1, extends: event.shiftKey});
    else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) { anchor = 1; select(1, last + 1); }
    else if (target !== undefined && !event.ctrlKey && !event.metaKey) moveTo(Math.max(0, Math.min(target, last)), event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function moveTo(index, extending) {
    if (extending) {
      anchor ??= active + 1;
      active = index;
      select(anchor, index + 1);
    } else {
      active = index;
      anchor = null;
      draw();
    }
    page.reveal(score.bars[active].start);
  }

  for (const place of [ruler, lanes]) {
    place.addEventListener('pointerdown', press);
    place.addEventListener('pointermove', move);
    place.addEventListener('pointerup', release);
    place.addEventListener('pointercancel', () => { drag = null; });
  }
  ruler.addEventListener('keydown', onKey);
  ruler.addEventListener('focus', () => {
    if (!selection && score?.bars.length) { active = barAt(score.bars, page.position()).number - 1; draw(); }
  });
  function onEscape(event) {
    if (event.key !== 'Escape' || !selection) return;
    if (toolbar.holdsFocus()) ruler.focus();
    clear();
    event.stopPropagation();
  }

  for (const place of [root, tray]) place.addEventListener('keydown', onEscape);

  return {
    update(next, version) {
      const same = score && next && score.bars.length === next.bars.length;
      score = next;
      if (!same) { active = 0; selection = anchor = null; }
      ruler.replaceChildren(...(score?.bars ?? []).map(bar => {
        const option = element('span', 'roll-bar'), total = score.seconds;
        option.id = `${id}-${bar.number}`;
        option.setAttribute('role', 'option');
        option.setAttribute('aria-label', `Bar ${bar.number}`);
        option.setAttribute('aria-selected', 'false');
        option.style.left = `${100 * bar.start / total}%`;
        option.style.width = `${100 * (bar.end - bar.start) / total}%`;
        return option;
      }));
      ruler.hidden = !score?.bars.length;
      toolbar.update(score, version);
      draw();
    },
    /** Writes as many bar numbers as there is room for. @param {number} width pixels of the whole piece */
    layout(width) {
      const bar = score?.bars[0];
      if (!bar) return;
      const room = width * (bar.end - bar.start) / score.seconds, step = STEPS.find(count => count * room >= NUMBER_ROOM) ?? STEPS.at(-1);
      for (const [index, option] of [...ruler.children].entries()) {
        const text = index % step ? '' : String(index + 1);
        if (option.textContent !== text) option.textContent = text;
      }
      draw();
    },
    clear,
    destroy() { toolbar.destroy(); ruler.remove(); shade.remove(); },
  };
}
