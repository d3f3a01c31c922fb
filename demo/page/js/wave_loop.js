// The region of a wave that repeats: selected by a drag, changed by a handle at each end, which is a slider for keyboards.
import {preciseClock} from './time_format.js';

const FINE = 0.1, COARSE = 1;  // seconds of the arrow keys, without and with Shift

/**
 * @param {HTMLElement} container of the wave, which has its axis already
 * @param {{current(): boolean, duration(): number, secondsAt(event: PointerEvent): number}} place the piece on the wave
 * @param {import('./transport.js').Transport} transport
 */
export function createLoopRegion(container, place, transport) {
  const region = document.createElement('div');
  region.className = 'wave-loop';
  region.hidden = true;
  const handles = [handle('start', 'Start of the repeated passage'), handle('end', 'End of the repeated passage')];
  container.append(region, ...handles);
  const axis = container.querySelector('.wave-axis');
  let anchor = null;

  function handle(edge, label) {
    const grip = document.createElement('div');
    grip.className = `wave-handle ${edge}`;
    grip.hidden = true;
    for (const [name, value] of Object.entries({role: 'slider', tabindex: '0', 'aria-label': label, 'aria-valuemin': '0'})) grip.setAttribute(name, value);
    grip.addEventListener('pointerdown', event => {
      grip.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    grip.addEventListener('pointermove', event => { if (grip.hasPointerCapture(event.pointerId)) move(edge, place.secondsAt(event)); });
    grip.addEventListener('keydown', event => {
      const direction = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1}[event.key];
      if (event.key === 'Escape') transport.clearLoop();
      else if (direction) move(edge, transport.region[edge] + direction * (event.shiftKey ? COARSE : FINE));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return grip;
  }

  function move(edge, seconds) {
    const {start, end} = transport.region;
    const bounded = edge === 'start' ? Math.min(seconds, end - FINE) : Math.max(seconds, start + FINE);
    transport.setLoop({start, end, [edge]: bounded});
  }

  function begin(event) {
    if (!place.current()) return false;
    anchor = place.secondsAt(event);
    return true;
  }

  function extend(event) {
    const seconds = place.secondsAt(event);
    if (anchor === null || Math.abs(seconds - anchor) < FINE) return;
    show({start: Math.min(anchor, seconds), end: Math.max(anchor, seconds)}, true);
  }

  /** The loop begins with the end of the drag, not with each step of it. */
  function finish(event) {
    const seconds = place.secondsAt(event);
    if (anchor !== null && event.type === 'pointerup' && Math.abs(seconds - anchor) >= FINE) {
      transport.setLoop({start: Math.min(anchor, seconds), end: Math.max(anchor, seconds)});
    }
    anchor = null;
    draw();
  }

  function show(selection, active) {
    const total = place.duration(), shown = Boolean(selection && total);
    for (const part of [region, ...handles]) part.hidden = !shown;
    if (!shown) return;
    container.style.setProperty('--loop-start', String(selection.start / total));
    container.style.setProperty('--loop-end', String(selection.end / total));
    region.classList.toggle('off', !active);
    handles.forEach((grip, index) => {
      const seconds = index ? selection.end : selection.start;
      grip.setAttribute('aria-valuemax', total.toFixed(1));
      grip.setAttribute('aria-valuenow', seconds.toFixed(1));
      grip.setAttribute('aria-valuetext', preciseClock(seconds));
    });
  }

  function draw() { if (anchor === null) show(place.current() ? transport.region : null, Boolean(transport.loop)); }

  axis.addEventListener('pointerdown', event => {
    if (event.button || !begin(event)) return;
    axis.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  axis.addEventListener('pointermove', extend);
  for (const name of ['pointerup', 'pointercancel']) axis.addEventListener(name, finish);
  return {draw, begin, extend, finish, destroy() { anchor = null; }};
}
