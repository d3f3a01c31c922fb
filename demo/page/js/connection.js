// Connection of the page to its session on the server: states come as a stream, or by asking where other tabs have the streams
// (stream_slots.js); actions go as JSON.
// The token lies in sessionStorage, so that a reload, the back button or a lost network lead to the same conversation.

import {StateRefused, askForState, streamStates} from './state_source.js';
import {streamSlots} from './stream_slots.js';
import {troubleOf} from './trouble.js';

const STORAGE_KEY = 'mumu-session';
const SILENCE = 40_000;  // milliseconds without a sign of life, of which the server sends one every 15 seconds
const ASK_DELAYS = {visible: 1000, hidden: 4000};  // milliseconds between two questions of a tab without a stream
const RETRY_DELAYS = [500, 1000, 2000, 4000, 8000];
const PRESENCE_INTERVAL = 30_000;
const ENDED = 'This conversation has ended: the server no longer has it. Write on, and a new one begins.';

/**
 * Events: 'state' (detail: the server's state, with `first` for the first one after connecting), 'trouble' (detail: a sentence,
 * or "" when it is over), 'online' (detail: whether the server is reached), 'reuse' (detail: settings and message of a piece).
 */
class Connection extends EventTarget {
  session = sessionStorage.getItem(STORAGE_KEY) || '';
  /** The newest state of the server; null before the first. */
  state = null;
  #abort = null;  // ends following this session
  #turn = null;  // ends the request or the waiting time under way
  #known = 0;  // version of `state`; 0: everything is asked for
  #lastSign = 0;
  #attempt = 0;
  #online = true;

  constructor() {
    super();
    setInterval(() => this.#present('here'), PRESENCE_INTERVAL);
    setInterval(() => { if (this.#abort && streamSlots.mayStream && Date.now() - this.#lastSign > SILENCE) this.reconnect(); }, 5000);
    streamSlots.addEventListener('change', () => this.#turn?.abort());
    addEventListener('online', () => this.reconnect());
    addEventListener('offline', () => this.#setTrouble(troubleOf(0)));
    document.addEventListener('visibilitychange', () => { if (!document.hidden) { this.#present('here'); this.#turn?.abort(); } });
    addEventListener('pagehide', () => { this.#end(); this.#present('away'); });
    addEventListener('pageshow', event => { if (event.persisted) this.reconnect(); });  // "Back" to a page that the browser has held
  }

  get online() { return this.#online; }

  /**
   * Follows a session; the same one once more changes nothing.
   * @param {string} token from the server; "" for none yet
   */
  follow(token) {
    if (!token || (token === this.session && this.#abort)) return;
    this.session = token;
    sessionStorage.setItem(STORAGE_KEY, token);
    this.reconnect();
  }

  /** Connects now, instead of after the rest of a waiting time. */
  reconnect() {
    this.#end();
    if (!this.session) return;
    this.#attempt = this.#known = 0;
    this.#lastSign = Date.now();
    this.#listen(this.#abort = new AbortController());
  }

  /**
   * Sends an action of this session.
   * @param {string} name such as "edit"
   * @param {object} [fields] the action's own fields
   * @returns {Promise<object>} the server's answer; an Error with one sentence for a refusal
   */
  async act(name, fields = {}) {
    const response = await this.#post('actions', JSON.stringify({act: name, ...fields}));
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.error || troubleOf(response.status) || `The server refused this (status ${response.status}).`);
    if (name === 'reuse') this.dispatchEvent(new CustomEvent('reuse', {detail: answer}));
    return answer;
  }

  /** Whether the server can be reached now. Says so on the page if not. */
  async reach() {
    const [address, method] = this.session ? [`page/${this.session}/here`, 'POST'] : [import.meta.url, 'HEAD'];
    try {
      const response = await fetch(address, {method, cache: 'no-store', signal: AbortSignal.timeout(8000)});
      const trouble = response.status === 404 ? '' : troubleOf(response.status);  // 404: the session has ended, the next message begins one
      this.#setTrouble(trouble);
      return !trouble;
    } catch {  // no network, or no answer in time
      this.#setTrouble(troubleOf(0));
      return false;
    }
  }

  async #post(path, body) {
    if (!this.session) throw new Error('There is no conversation yet; send a message first.');
    try {
      return await fetch(`page/${this.session}/${path}`, {method: 'POST', body, headers: {'Content-Type': 'application/json'}});
    } catch {
      this.#setTrouble(troubleOf(0));
      throw new Error(troubleOf(0));
    }
  }

  async #listen(abort) {
    while (!abort.signal.aborted) {
      const turn = this.#turn = new AbortController(), {signal} = turn;
      let delay = 0;
      try {
        if (streamSlots.mayStream) {
          for await (const state of streamStates(this.session, this.#known, signal)) this.#take(state, signal);
          delay = this.#retryDelay();  // the server has ended it
        } else {
          this.#take(await askForState(this.session, this.#known, signal), signal);
          delay = document.hidden ? ASK_DELAYS.hidden : ASK_DELAYS.visible;
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        if (turn.signal.aborted) continue;
        if (error instanceof StateRefused && error.status === 404) { this.#forget(); return; }
        this.#setTrouble(error instanceof StateRefused ? troubleOf(error.status) || error.message : troubleOf(0));
        delay = this.#retryDelay();
      }
      await pause(delay, signal);
    }
  }

  #retryDelay() { return RETRY_DELAYS[Math.min(this.#attempt++, RETRY_DELAYS.length - 1)]; }

  /** Takes a state, or null for a sign of life. */
  #take(state, signal) {
    if (signal.aborted) return;
    this.#lastSign = Date.now();
    this.#attempt = 0;
    if (navigator.onLine) this.#setTrouble('');
    if (!state) return;
    const first = this.#known === 0;
    this.#known = state.version;
    this.state = {...state, library: state.library ?? this.state?.library ?? []};  // null: as before
    this.dispatchEvent(new CustomEvent('state', {detail: {...this.state, first}}));
  }

  /** Ends following the session. */
  #end() {
    this.#abort?.abort();
    this.#turn?.abort();
  }

  #forget() {
    this.#end();
    this.#abort = null;
    this.session = '';
    sessionStorage.removeItem(STORAGE_KEY);
    this.#setTrouble(ENDED);
  }

  #setTrouble(text) {
    const online = !text || text === ENDED;
    if (online !== this.#online) { this.#online = online; this.dispatchEvent(new CustomEvent('online', {detail: online})); }
    this.dispatchEvent(new CustomEvent('trouble', {detail: text}));
  }

  #present(status) { if (this.session) navigator.sendBeacon(`page/${this.session}/${status}`); }
}

/** Waits, until the signal ends it. */
function pause(milliseconds, signal) {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

/** The one connection of this page. */
export const connection = new Connection();

/** `connection.act` as a function. */
export const act = (name, fields) => connection.act(name, fields);
