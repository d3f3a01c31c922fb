// The piano roll of a piece: a row a part over one time axis with the wave above it, chords above, bars below, and a running cursor.
import {createBars} from './bars.js';
import {element, listenTo} from './dom.js';
import {createParts} from './parts.js';
import {linesPath, noteAt, noteName, notesPath, rowsOf, TIME_SCALE} from './roll_notes.js';
import {loadScore} from './score_data.js';
import {createSheet} from './sheet.js';
import {preciseClock} from './time_format.js';

const LEAST_BAR = 12;  // pixels; a piece of more bars is wider than its place, which scrolls
const GUTTER = 180;  // pixels beside the wave that names of parts need; with less they stand above their rows
const SWITCHES = 68;  // pixels beside the wave that the switches of a part need
const STROKE = {most: 3, share: 0.12};  // of a drum: pixels, and share of a beat, so that those of a long piece stay apart
const CHORD_ROOM = 9;  // pixels of a letter of a chord's name
const FOLLOW = {from: 0.08, to: 0.85, back: 0.2};  // of the width: where the cursor may be, and where it begins after a scroll
const NEAR = '400px';  // a roll so far from the window loads its notes
const RUNNING = ['waiting', 'working'];
const SPACE = 'http://www.w3.org/2000/svg';

/**
 * @param {HTMLElement} container @param {object} version of a card (demo/page/card.py)
 * @param {{transport: import('./transport.js').Transport, act: (name: string, fields: object) => Promise<object>}} page
 * @returns {{update(version: object, card?: {status: string}): void, destroy(): void}}
 */
export function createRoll(container, version, {transport, act}) {
  const root = element('div', 'roll'), view = element('div', 'roll-view'), plot = element('div', 'roll-plot');
  const chords = element('div', 'roll-chords'), lanes = element('div', 'roll-lanes'), labels = element('div', 'roll-parts');
  const cursor = element('div', 'roll-cursor'), hover = element('div', 'roll-hover'), note = element('p', 'roll-note');
  const tray = element('div', 'bars-tray'), footer = element('div', 'roll-footer');
  chords.setAttribute('aria-hidden', 'true');
  lanes.setAttribute('role', 'img');
  root.append(labels, view, note);
  view.append(plot);
  plot.append(chords, lanes);
  container.append(root, tray, footer);

  let score = null, shownUrl = '', near = false, rows = [], width = 0;
  const reduced = matchMedia('(prefers-reduced-motion: reduce)');
  const current = () => transport.piece?.id === version.id;
  const makeCurrent = () => { if (!current()) transport.load(version); };
  const position = () => (current() ? transport.position : transport.positionOf(version.id));
  const total = () => score.seconds;
  const secondsAt = event => {
    const box = plot.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * total();
  };
  const seek = seconds => { makeCurrent(); transport.seek(seconds); };
  const play = seconds => { seek(seconds); if (!transport.playing) transport.play(); };
  const loop = range => { makeCurrent(); transport.setLoop(range); play(range.start); };
  const parts = createParts(labels, {transport, current, makeCurrent});
  const bars = createBars({plot, lanes, root, tray}, {
    act, seek, play, loop, secondsAt, reveal, position, noteStart: event => hitAt(event)?.note[0],
  });
  const sheet = createSheet(footer, version);
  plot.append(cursor, hover);

  async function request() {
    const url = version.score;
    if (!near || !url || url === shownUrl) return;
    shownUrl = url;
    try {
      const loaded = await loadScore(url);
      if (url === version.score) draw(loaded);
    } catch (error) {
      shownUrl = '';
      note.textContent = error.message;
    }
  }

  function draw(loaded) {
    // The player's length: the score may end a few samples earlier or later, and both have one axis.
    score = {...loaded, seconds: version.seconds || loaded.seconds};
    note.textContent = '';
    lanes.setAttribute('aria-label', `Piano roll. ${score.summary}`);
    rows = score.parts.map(rowsOf);
    root.style.setProperty('--rows', score.parts.map(part => (part.keys ? '0.8fr' : '1fr')).join(' '));
    lanes.replaceChildren(grid(), ...score.parts.map((part, index) => lane(part, rows[index])));
    chords.replaceChildren(...score.chords.map(chordLabel));
    parts.update(score.parts, version.stems);
    bars.update(score, version);
    drawSilence();
    layout();
  }

  function lane(part, {count}) {
    const box = element('div', 'roll-lane');
    box.dataset.part = part.name;
    box.append(picture(`0 0 ${total() * TIME_SCALE} ${count}`, 'roll-notes', notesPath(part, rowsOf(part))));
    return box;
  }

  function grid() {
    const box = element('div', 'roll-grid'), ends = score.ending ? [score.ending.start] : [];
    box.append(
      picture(`0 0 ${total() * TIME_SCALE} 1`, 'roll-bar-lines', linesPath([...score.bars.map(bar => bar.start), ...ends])),
      picture(`0 0 ${total() * TIME_SCALE} 1`, 'roll-section-lines', linesPath(score.sections.slice(1).map(section => section.start))),
    );
    return box;
  }

  function chordLabel(chord) {
    const label = element('span', 'roll-chord', chord.name);
    label.style.left = `${100 * chord.start / total()}%`;
    return label;
  }

  /** Fits the roll to the wave above it and to the width that is there. */
  function layout() {
    if (!root.clientWidth) return;
    const frame = root.getBoundingClientRect(), wave = root.closest('music-card')?.querySelector('.wave')?.getBoundingClientRect();
    const inset = wave?.width ? {left: wave.left - frame.left, right: frame.right - wave.right} : {left: frame.width < 640 ? SWITCHES : GUTTER, right: 0};
    root.style.setProperty('--plot-left', `${Math.max(0, inset.left)}px`);
    root.style.setProperty('--plot-right', `${Math.max(0, inset.right)}px`);
    root.classList.toggle('beside', inset.left >= GUTTER);
    if (!score) return;
    const bar = score.bars[0], fitting = view.clientWidth;
    width = Math.max(fitting, bar ? LEAST_BAR * total() / (bar.end - bar.start) : 0);
    root.classList.toggle('scrolls', width > fitting);
    plot.style.width = `${width}px`;
    root.style.setProperty('--stroke', `${Math.max(1, Math.min(STROKE.most, STROKE.share * width * score.beat / total())).toFixed(1)}px`);
    showChords();
    bars.layout(width);
    drawCursor();
  }

  /** Hides the names of chords that have no room. */
  function showChords() {
    let free = 0;
    for (const [index, label] of [...chords.children].entries()) {
      const left = width * score.chords[index].start / total(), size = CHORD_ROOM * (1 + score.chords[index].name.length);
      label.hidden = left < free || left + size > width + CHORD_ROOM;
      if (!label.hidden) free = left + size;
    }
  }

  function drawCursor() {
    if (!score) return;
    let now = Math.min(position(), total());
    if (reduced.matches && current() && transport.playing) now = Math.floor(now / score.beat + 1e-6) * score.beat;
    const x = width * now / total();
    cursor.style.transform = `translateX(${x.toFixed(1)}px)`;
    cursor.classList.toggle('idle', !current());
    if (current() && transport.playing && root.classList.contains('scrolls')) follow(x);
  }

  function follow(x) {
    const place = (x - view.scrollLeft) / view.clientWidth;
    if (place < FOLLOW.from || place > FOLLOW.to) view.scrollLeft = x - FOLLOW.back * view.clientWidth;
  }

  function reveal(seconds) { if (root.classList.contains('scrolls')) follow(width * seconds / total()); }

  function hitAt(event) {
    const box = event.target.closest?.('.roll-lane') ?? document.elementFromPoint(event.clientX, event.clientY)?.closest('.roll-lane');
    if (!score || !box || !lanes.contains(box)) return null;
    const index = [...lanes.querySelectorAll('.roll-lane')].indexOf(box), part = score.parts[index], place = box.firstChild.getBoundingClientRect();
    const scale = {secondsPerPixel: total() / place.width, rowsPerPixel: rows[index].count / place.height};
    const hit = noteAt(part, rows[index], secondsAt(event), (event.clientY - place.top) * scale.rowsPerPixel, scale);
    return hit && {note: hit, name: noteName(part, hit[2], score.pitches), place};
  }

  function showHover(event) {
    const hit = event.pointerType === 'touch' ? null : hitAt(event);
    hover.classList.toggle('shown', Boolean(hit));
    lanes.classList.toggle('on-note', Boolean(hit));
    if (!hit) return;
    hover.textContent = `${hit.name} · ${preciseClock(hit.note[0])}`;
    const top = event.clientY - plot.getBoundingClientRect().top;
    hover.style.left = `${Math.min(width * hit.note[0] / total(), width - hover.offsetWidth)}px`;
    hover.style.top = `${top}px`;
  }

  function drawSilence() {
    for (const box of lanes.querySelectorAll('.roll-lane')) box.classList.toggle('silent', parts.isSilent(box.dataset.part));
  }

  function update(next, card) {
    version = next;
    sheet.update(version);
    // A recording has no notes. A piece that is still made may get some: its place is kept, so that nothing moves when they come.
    const coming = card ? RUNNING.includes(card.status) : !version.complete && version.kind !== 'upload';
    root.hidden = !version.score && !coming;
    root.classList.toggle('empty', !version.score);
    if (!version.score && !root.hidden) {
      score = null;
      shownUrl = '';
      for (const place of [lanes, chords, labels]) place.replaceChildren();
      bars.update(null, version);
      note.textContent = 'The notes appear here when the piece is complete.';
    }
    request();
    drawSilence();
    drawCursor();
  }

  lanes.addEventListener('pointermove', showHover);
  lanes.addEventListener('pointerleave', () => hover.classList.remove('shown'));
  const stop = listenTo(transport, {time: drawCursor, piece: () => { drawSilence(); drawCursor(); }, parts: drawSilence});
  const resized = new ResizeObserver(layout);
  resized.observe(root);
  const seen = new IntersectionObserver(entries => {
    near = entries.some(entry => entry.isIntersecting);
    request();
  }, {rootMargin: NEAR});
  seen.observe(container);
  update(version);
  layout();  // before the first frame: the observer would change the height after it
  return {
    update,
    destroy() {
      stop();
      resized.disconnect();
      seen.disconnect();
      for (const part of [parts, bars, sheet]) part.destroy();
      for (const place of [root, tray, footer]) place.remove();
    },
  };
}

function picture(viewBox, className, path) {
  const drawing = document.createElementNS(SPACE, 'svg'), shape = document.createElementNS(SPACE, 'path');
  for (const [name, value] of Object.entries({viewBox, class: className, preserveAspectRatio: 'none', 'aria-hidden': 'true'})) drawing.setAttribute(name, value);
  shape.setAttribute('d', path);
  drawing.append(shape);
  return drawing;
}
