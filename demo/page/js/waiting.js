// Messages that wait behind a running answer, as lines above the input: in the conversation, where they are hidden meanwhile, the answer
// would push them down. One that has waited does not scroll the page when it begins; while it is below the window, a line leads to it.
import {connection} from './connection.js';
import {textButton} from './controls.js';
import {input} from './draft.js';
import {element} from './dom.js';
import {toast} from './toasts.js';

const DOCK = '160px';  // at the foot of the window, which the input covers

/**
 * @param {HTMLElement} list of the lines @param {HTMLElement} log whose children are the exchanges
 * @param {(turn: HTMLElement) => void} show scrolls to an exchange
 * @returns {{update(): void}} update: after each change of the conversation
 */
export function createWaiting(list, log, show) {
  const unseen = new Set();  // exchanges that have waited, until they are in the window
  const seen = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) if (isIntersecting) forget(target);
    draw();
  }, {rootMargin: `0px 0px -${DOCK}`});

  function forget(turn) {
    unseen.delete(turn);
    seen.unobserve(turn);
  }

  async function cancel(exchange, event) {
    if (!event.detail) input()?.focus({preventScroll: true});  // by a key: the focus was on the line that goes
    try { await connection.act('cancel', {exchange}); } catch (error) { toast(error.message); }
  }

  function lineOf(turn) {
    const line = element('li', ''), words = turn.querySelector('.said .text')?.textContent ?? 'Your files', state = stateOf(turn);
    const exchange = [...log.children].indexOf(turn);
    const button = state === 'Waits'
      ? textButton('small', 'Cancel', event => cancel(exchange, event))
      : textButton('small', 'Show', () => { forget(turn); draw(); show(turn); });
    button.setAttribute('aria-label', `${button.textContent}: ${words}`);
    line.append(element('p', '', `${state}: ${words}`), button);
    return line;
  }

  function draw() {
    const wanted = [...unseen], key = wanted.map(turn => `${turn.dataset.key} ${stateOf(turn)}`).join();
    if (list.dataset.shown === key) return;
    list.dataset.shown = key;
    list.replaceChildren(...wanted.map(lineOf));
  }

  return {
    update() {
      for (const turn of log.children) {
        if (turn.offsetParent !== null) continue;
        if (stateOf(turn) !== 'Waits') forget(turn);  // it was cancelled
        else if (!unseen.has(turn)) {
          unseen.add(turn);
          seen.observe(turn);
        }
      }
      for (const turn of unseen) if (!turn.isConnected) forget(turn);
      draw();
    },
  };
}

function stateOf(turn) {
  if (turn.querySelector('button[data-act=cancel]')) return 'Waits';
  return turn.querySelector('.answer[aria-busy]') ? 'Being answered' : 'Answered';
}
