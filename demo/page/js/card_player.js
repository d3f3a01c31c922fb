// The player of a card: play button, wave and time, for the version in the foreground.
import {icon, labelledButton} from './controls.js';
import {element, listenTo} from './dom.js';
import {clock} from './time_format.js';
import {createWave} from './wave.js';

const STATUS = {waiting: 'Waiting for more sound\u2026', blocked: 'Press play to hear it'};

/**
 * @param {HTMLElement} container @param {object} version of the card
 * @param {{transport: import('./transport.js').Transport}} page
 * @returns {{update(version: object): void, destroy(): void}}
 */
export function createCardPlayer(container, version, {transport}) {
  const play = labelledButton('play-button', 'Play', icon('play')), body = element('div', 'player-body');
  const box = element('div', ''), time = element('span', 'player-time'), status = element('span', 'player-status');
  status.setAttribute('role', 'status');
  body.append(time, status);
  container.replaceChildren(play, body, box);
  const current = () => transport.piece?.id === version.id;
  const enter = () => { if (!current()) transport.load(version); };
  const label = piece => `Position in ${piece.title || piece.label || 'the music'}`;
  const wave = createWave(box, version, {transport, label: label(version), onPlay: () => { enter(); transport.play(); }});
  play.addEventListener('click', () => {
    if (current() && transport.playing) return transport.pause();
    enter();
    transport.play();
  });

  function drawState() {
    const active = current() && transport.playing, state = current() ? transport.state : 'paused';
    const words = active ? 'Pause' : 'Play', name = version.title || version.label || 'the music';
    if (play.dataset.shows !== words) play.replaceChildren(icon(active ? 'pause' : 'play'));
    play.dataset.shows = words;
    play.setAttribute('aria-label', `${words} ${name}`);
    play.title = `${words} (Space)`;
    play.classList.toggle('calls', state === 'blocked');
    play.disabled = !version.url;
    const text = state === 'failed' ? transport.error?.message ?? '' : STATUS[state] ?? '';
    if (status.textContent !== text) status.textContent = text;
    drawTime();
  }

  function drawTime() {
    const position = current() ? transport.position : transport.positionOf(version.id);
    const total = (current() && transport.duration) || version.seconds || 0, text = `${clock(position)} / ${clock(total)}`;
    if (time.textContent !== text) time.textContent = text;
  }

  const stopListening = listenTo(transport, {state: drawState, piece: drawState, time: () => { if (current()) drawTime(); }});
  drawState();
  return {
    update(newer) {
      version = newer;
      wave.update(newer, label(newer));
      drawState();
    },
    destroy() { stopListening(); wave.destroy(); container.replaceChildren(); },
  };
}
