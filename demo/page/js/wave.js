// The wave of a piece: its absolute level over time, with a time axis. It is a slider: click, drag or keys seek. A drag along the
// axis, or with Shift, selects a region that repeats, with a handle at each end.
import {element, listenTo} from './dom.js';
import {clockOf, preciseClock} from './time_format.js';
import {createAxis} from './wave_axis.js';
import {createLoopRegion} from './wave_loop.js';
import {barsPath, levelsOf} from './wave_levels.js';

const STEP = 5, LARGE_STEP = 15;  // seconds of the arrow keys, and of PageUp and PageDown

/**
 * @param {HTMLElement} container @param {object} version of a card
 * @param {{transport: import('./transport.js').Transport, label?: string, onPlay: () => void}} options
 *   onPlay: called for a click on the wave of a piece that is not the current one, to make it that
 * @returns {{update(version: object, label?: string): void, destroy(): void}}
 */
export function createWave(container, version, {transport, label = 'Position in the music', onPlay}) {
  container.classList.add('wave-box');
  const wave = element('div', 'wave'), hover = element('div', 'wave-hover'), hoverTime = element('span', 'wave-hover-time');
  wave.append(svg('wave-rest'), svg('wave-played'));
  hover.append(hoverTime);
  for (const [name, value] of Object.entries({role: 'slider', tabindex: '0', 'aria-label': label, 'aria-valuemin': '0'})) wave.setAttribute(name, value);
  container.replaceChildren(wave, hover);
  const current = () => transport.piece?.id === version.id;
  let preview = null;  // seconds under the pointer that drags
  const position = () => preview ?? (current() ? transport.position : transport.positionOf(version.id));
  const duration = () => (current() && transport.duration) || version.seconds || 0;
  const place = {current, duration, secondsAt: event => {
    const box = wave.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * duration();
  }};
  const axis = createAxis(container), loop = createLoopRegion(container, place, transport);
  const seek = seconds => {
    if (!current()) onPlay();
    transport.seek(Math.max(0, Math.min(seconds, duration())));
  };

  function drawBars() {
    const width = wave.clientWidth, path = barsPath(levelsOf(version.levels, transport.levelsOf(version.id)), width < 480 ? 2 : 1);
    for (const shape of wave.querySelectorAll('path')) if (shape.getAttribute('d') !== path) shape.setAttribute('d', path);
    wave.classList.toggle('growing', !version.complete);
    axis.draw(duration(), width);
    loop.draw();
  }

  function drawPosition() {
    const total = duration(), now = Math.min(position(), total || Infinity);
    wave.style.setProperty('--at', total ? String(now / total) : '0');
    wave.classList.toggle('idle', !current() && !now);
    wave.setAttribute('aria-valuemax', total.toFixed(1));
    const text = clockOf(now, total);
    if (wave.getAttribute('aria-valuetext') === text) return;
    wave.setAttribute('aria-valuenow', now.toFixed(1));
    wave.setAttribute('aria-valuetext', text);
  }

  function showHover(event) {
    if (event.pointerType === 'touch' && !wave.hasPointerCapture(event.pointerId)) return;
    const total = duration(), seconds = place.secondsAt(event);
    if (!total) return;
    hover.style.setProperty('--at', String(seconds / total));
    hover.classList.toggle('left', seconds > 0.85 * total);
    hoverTime.textContent = preciseClock(seconds);
    hover.classList.add('shown');
  }

  let dragging = null;  // 'seek' or 'select'

  /** The cursor follows the pointer; the sound follows when it is let go. */
  function showPreview(event) {
    if (dragging !== 'seek') return;
    preview = place.secondsAt(event);
    drawPosition();
  }
  wave.addEventListener('pointerdown', event => {
    if (event.button || !duration()) return;
    wave.setPointerCapture(event.pointerId);
    dragging = event.shiftKey && loop.begin(event) ? 'select' : 'seek';
    showPreview(event);
  });
  wave.addEventListener('pointermove', event => {
    showHover(event);
    if (dragging === 'seek') showPreview(event);
    if (dragging === 'select') loop.extend(event);
  });
  for (const name of ['pointerup', 'pointercancel']) {
    wave.addEventListener(name, event => {
      const target = preview, selects = dragging === 'select';
      preview = dragging = null;
      if (selects) loop.finish(event);
      else if (target !== null && name === 'pointerup') seek(target);
      drawPosition();
    });
  }
  wave.addEventListener('pointerleave', () => hover.classList.remove('shown'));
  wave.addEventListener('keydown', event => {
    const target = keyTarget(event, position(), duration());
    if (target !== null) seek(target);
    else if (event.key === ' ' && !current()) onPlay();
    else if (event.key === 'Escape' && current() && transport.region) transport.clearLoop();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  const ifCurrent = draw => () => { if (current()) draw(); };
  const stopListening = listenTo(transport, {time: ifCurrent(drawPosition), piece: drawAll, data: ifCurrent(drawBars), loop: loop.draw});
  const resized = new ResizeObserver(drawBars);
  resized.observe(wave);
  function drawAll() { drawBars(); drawPosition(); }
  drawAll();
  return {
    update(newer, newLabel = label) {
      version = newer;
      wave.setAttribute('aria-label', newLabel);
      drawAll();
    },
    destroy() { stopListening(); resized.disconnect(); loop.destroy(); container.replaceChildren(); },
  };
}

/** Where a key seeks to, in seconds; null for other keys. */
function keyTarget(event, position, duration) {
  if (event.altKey || event.ctrlKey || event.metaKey) return null;
  const steps = {ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP, PageDown: -LARGE_STEP, PageUp: LARGE_STEP};
  if (event.key in steps) return position + steps[event.key];
  return {Home: 0, End: duration}[event.key] ?? null;
}

function svg(className) {
  const space = 'http://www.w3.org/2000/svg', picture = document.createElementNS(space, 'svg');
  picture.setAttribute('class', className);
  picture.setAttribute('viewBox', '0 0 240 100');
  picture.setAttribute('preserveAspectRatio', 'none');
  picture.setAttribute('aria-hidden', 'true');
  picture.append(document.createElementNS(space, 'path'));
  return picture;
}
