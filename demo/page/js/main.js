// The page's beginning: connects the conversation, the input and the drawers to the session on the server.

import {announce} from './announcements.js';
import {createCapabilities} from './capabilities.js';
import {watchClear} from './clear.js';
import {connection} from './connection.js';
import {fitInput, input, keepDraft, storeDraft, write} from './draft.js';
import {makeDrawer} from './drawer.js';
import {watchFiles} from './drop.js';
import {watchEditForm} from './edit_target.js';
import {startLibrary} from './library_panel.js';
import {watchMicrophone} from './microphone.js';
import {watchNames} from './names.js';
import {showPiece, watchReferences} from './reference.js';
import {watchDeletions} from './restore.js';
import {patchExchanges} from './patch.js';
import {startPlayer} from './player.js';
import {toast} from './toasts.js';
import {watchGradio} from './trouble.js';
import {createWaiting} from './waiting.js';

function reducedMotion() { return matchMedia('(prefers-reduced-motion: reduce)').matches; }

/** Moves an exchange to the top of the window. */
function scrollToTurn(turn, smooth = true) { turn.scrollIntoView({behavior: smooth && !reducedMotion() ? 'smooth' : 'auto', block: 'start'}); }

/** Brings the conversation to a state of the server. A new message moves to the top of the window, once, unless it waits. */
function render(element, waiting, state) {
  const log = element.querySelector('.log'), before = log.childElementCount;
  const added = patchExchanges(log, state.count, state.changed);
  const begun = state.count > 0, frame = document.querySelector('#dock').parentElement;  // not the body: see `css` in theme.py
  frame.classList.toggle('begun', begun);
  storeDraft();  // a message that was taken has left the input
  const busy = state.busy || log.querySelector('.answer[aria-busy]') !== null;
  frame.classList.toggle('busy', busy);
  const examples = document.querySelector('#examples details');
  if (examples && begun !== (before > 0)) examples.open = !begun;
  announce(log, element.querySelector('.announcement'), state.first);
  waiting.update();
  const newest = added.filter(turn => turn.offsetParent !== null).at(-1);
  if (newest && state.count > before) scrollToTurn(newest, !state.first);
}

/** Buttons of the conversation outside of the cards, such as "Stop": `data-act` is the action, `data-exchange` its exchange. */
function watchButtons(element) {
  element.addEventListener('click', async event => {
    const button = event.target.closest('button[data-act]');
    if (!button || button.closest('music-card') || button.dataset.act === 'redirect') return;
    const {act, exchange, piece} = button.dataset;
    const fields = {...exchange && {exchange: Number(exchange)}, ...piece && {piece}};
    try { await connection.act(act, fields); } catch (error) { toast(error.message); }
  });
}

/** A sentence about the connection stands above the input until it is over. */
function watchTrouble() {
  const note = document.querySelector('#note');
  let shown = '';
  const tell = text => {
    if (text || note.textContent === shown) note.textContent = text;
    shown = text;
  };
  connection.addEventListener('trouble', ({detail}) => tell(detail));
  watchGradio(tell);
}

/** The chips of the empty page write into the input, and follow what is typed there. */
function startCapabilities() {
  const chips = createCapabilities(document.querySelector('#capabilities'), {read: () => input().value, write});
  document.addEventListener('input', event => { if (event.target === input()) chips.update(); });
  connection.addEventListener('state', () => chips.update());
}

/** Puts the words of a piece into the input; what stood there can be had back. */
function reuseMessage(message) {
  const typed = input().value;
  write(message);
  input().focus({preventScroll: true});
  const text = 'The words and the settings of that piece are in place.';
  if (typed && typed !== message) toast(text, {label: 'My words back', run: () => write(typed), seconds: 10});
  else toast(text);
}

/** The room that the input takes at the foot is reserved below the conversation; it only grows, so that nothing moves. */
function reserveFoot() {
  const dock = document.querySelector('#dock');
  let reserved = 0;
  new ResizeObserver(() => {
    reserved = Math.max(reserved, dock.offsetHeight);
    document.documentElement.style.setProperty('--foot', `${reserved}px`);
  }).observe(dock);
}

/** The focus begins in the input, and returns there from what disappears. Not by a tap: a phone would open its keyboard. */
function keepFocus() {
  const fine = matchMedia('(pointer: fine)');
  if (fine.matches && document.activeElement === document.body) input()?.focus({preventScroll: true});
  document.addEventListener('click', event => {
    if (!event.target.closest('#box .input-row :is(.submit-button, .stop-button), #examples .kinds button')) return;
    if (!event.detail || fine.matches) input()?.focus({preventScroll: true});
  });
}

/**
 * Starts the page. gradio provides the arguments.
 * @param {{element: HTMLElement, props: {value: string}, watch: (name: string, run: () => void) => void,
 *   reuse: (settings: object) => void}} page
 *   element: of the conversation; props.value: the session's token; reuse: sets the fields of the settings
 */
export function start({element, props, watch, reuse}) {
  makeDrawer('settings', 'Settings');
  makeDrawer('library', 'Library');
  startPlayer(document.querySelector('#player-bar'), showPiece);
  startLibrary();
  startCapabilities();
  watchTrouble();
  watchMicrophone();
  watchNames();
  watchFiles();
  watchButtons(element);
  watchReferences(element);
  watchEditForm();
  watchClear();
  watchDeletions();
  reserveFoot();
  fitInput();
  keepDraft();
  keepFocus();
  const waiting = createWaiting(document.querySelector('#waiting'), element.querySelector('.log'), scrollToTurn);
  connection.addEventListener('state', ({detail}) => render(element, waiting, detail));
  connection.addEventListener('reuse', ({detail}) => {
    reuse(detail.settings);
    reuseMessage(detail.message ?? '');
  });
  watch('value', () => connection.follow(props.value));
  if (connection.session) {
    props.value = connection.session;
    connection.reconnect();
  }
  document.body.classList.add('ready');
}
