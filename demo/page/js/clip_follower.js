// The clip of a card, muted: it follows the transport while one of the card's versions is the current piece.
import {element, listenTo} from './dom.js';

const DRIFT = 0.15;  // seconds between picture and sound that are put right

/**
 * @param {HTMLElement} container @param {{url: string, seconds: number | null}} clip
 * @param {{transport: import('./transport.js').Transport, mine: () => boolean}} options mine: whether the current piece is the card's
 * @returns {{destroy(): void}}
 */
export function createClip(container, clip, {transport, mine}) {
  const video = document.createElement('video'), label = element('label', 'card-clip-switch'), box = document.createElement('input');
  Object.assign(video, {src: clip.url, muted: true, playsInline: true, preload: 'auto', className: 'card-video'});
  video.setAttribute('aria-label', 'Your clip, without its own sound');
  Object.assign(box, {type: 'checkbox', checked: true});
  label.append(box, ' Play with the clip');
  container.replaceChildren(video, label);

  const follows = () => box.checked && mine();
  function followPlace() {
    if (!follows()) return;
    const place = Math.min(transport.position, video.duration || Infinity);
    if (Math.abs(video.currentTime - place) > DRIFT) video.currentTime = place;
  }
  function followState() {
    const runs = follows() && transport.state === 'playing' && transport.position < (video.duration || Infinity);
    if (!runs) { if (!video.paused) video.pause(); return; }
    followPlace();
    if (video.paused) video.play().catch(error => { if (error.name !== 'AbortError') throw error; });  // paused again meanwhile
  }
  box.addEventListener('change', followState);
  const stopListening = listenTo(transport, {time: followPlace, state: followState, piece: followState});
  return {
    destroy() {
      stopListening();
      video.removeAttribute('src');
      video.load();
      container.replaceChildren();
    },
  };
}
