// A slim bar at the foot of the page that goes on playing while one reads on: title, play, position, volume, loop, close.
import {icon, labelledButton} from './controls.js';
import {element, listenTo} from './dom.js';
import {clock, clockOf} from './time_format.js';

const STEP = 5;  // seconds of an arrow key

/**
 * @param {HTMLElement} container stays hidden until something has sounded
 * @param {{transport: import('./transport.js').Transport, reveal: (id: string) => void}} options reveal: scrolls to a piece's card
 * @returns {{destroy(): void}}
 */
export function createPlayerBar(container, {transport, reveal}) {
  const bar = element('section', 'player-bar');
  bar.setAttribute('aria-label', 'Player');
  bar.hidden = true;
  const play = labelledButton('bar-play', 'Play', icon('play'));
  const title = labelledButton('bar-title', 'Show this piece'), loop = labelledButton('bar-loop', 'Repeat', icon('loop'));
  const close = labelledButton('bar-close', 'Close the player', icon('close')), mute = labelledButton('bar-mute', 'Mute', icon('volume'));
  const time = element('span', 'bar-time'), seek = slider('bar-seek', 'Position in the music', 0.1), volume = slider('bar-volume', 'Volume', 0.01);
  volume.max = '1';
  bar.append(play, title, time, seek, loop, mute, volume, close);
  container.replaceChildren(bar);

  play.addEventListener('click', () => transport.toggle());
  title.addEventListener('click', () => reveal(transport.piece.id));
  loop.addEventListener('click', () => transport.toggleLoop());
  mute.addEventListener('click', () => { transport.muted = !transport.muted; });
  volume.addEventListener('input', () => { transport.volume = Number(volume.value); });
  seek.addEventListener('input', () => transport.seek(Number(seek.value)));
  seek.addEventListener('keydown', event => {
    const direction = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!direction) return;
    event.preventDefault();
    transport.seek(transport.position + direction * STEP);
  });
  close.addEventListener('click', event => {
    transport.pause();
    bar.hidden = true;
    if (!event.detail) document.querySelector('#box textarea')?.focus({preventScroll: true});  // by a key: the focus was here
  });

  function drawPiece() {
    title.textContent = transport.piece?.title || transport.piece?.label || '';
    title.setAttribute('aria-label', `Show the card of ${title.textContent}`);
    if (!transport.piece) bar.hidden = true;
    drawTime();
  }
  function drawState() {
    if (transport.playing) bar.hidden = false;
    const pausing = transport.playing;
    play.replaceChildren(icon(pausing ? 'pause' : 'play'));
    play.setAttribute('aria-label', pausing ? 'Pause' : 'Play');
    play.classList.toggle('waiting', transport.state === 'waiting');
  }
  function drawTime() {
    const {position, duration} = transport;
    time.textContent = `${clock(position)} / ${clock(duration)}`;
    seek.max = duration.toFixed(1);
    seek.value = position.toFixed(1);
    seek.style.setProperty('--at', duration ? String(position / duration) : '0');
    seek.setAttribute('aria-valuetext', clockOf(position, duration));
  }
  function drawLoop() { loop.setAttribute('aria-pressed', String(Boolean(transport.loop))); }
  function drawVolume() {
    volume.value = transport.muted ? '0' : String(transport.volume);
    volume.style.setProperty('--at', volume.value);
    volume.setAttribute('aria-valuetext', `${Math.round(100 * Number(volume.value))} %`);
    mute.setAttribute('aria-pressed', String(transport.muted));
    mute.replaceChildren(icon(transport.muted ? 'muted' : 'volume'));
  }
  const draw = {piece: drawPiece, state: drawState, time: drawTime, loop: drawLoop, volume: drawVolume};
  const stopListening = listenTo(transport, draw);
  for (const run of Object.values(draw)) run();
  return {destroy() { stopListening(); bar.remove(); }};
}

function slider(className, label, step) {
  const input = document.createElement('input');
  Object.assign(input, {type: 'range', min: '0', step: String(step), className});
  input.setAttribute('aria-label', label);
  return input;
}
