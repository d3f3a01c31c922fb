// The one transport of the page: one audio context, one clock, one volume, and one piece that sounds at a time. Cards, the bar at
// the foot, the score and the keys act on it and follow its events.
import {ElementSource} from './element_source.js';
import {PcmSource} from './pcm_source.js';

const KEPT_PIECES = 2;  // whose samples stay in memory: the one that plays and the one before it
const KEPT_POSITIONS = 100;
const SHORTEST_LOOP = 0.1;  // seconds
const PATIENCE = 1500;  // milliseconds for the audio clock to start
const VOLUME_KEY = 'mumu-volume';

/**
 * @typedef {object} Version of a piece, as a card has it: id, url, seconds, complete, pcm, stems, title ...
 *
 * Events: 'time' (each frame while it plays, and after a seek), 'state', 'piece' (another one, or newer facts of it), 'loop',
 * 'parts', 'volume', 'data' (samples arrived).
 * `state`: 'empty', 'paused', 'waiting', 'playing', 'blocked' (the browser wants a click first), 'ended', 'failed'.
 */
export class Transport extends EventTarget {
  /** @type {Version | null} */ piece = null;
  /** @type {AudioContext | null} */ context = null;
  /** @type {GainNode | null} */ output = null;  // the sum of all that sounds, at the chosen volume
  /** @type {{start: number, end: number} | null} */ loop = null;
  /** @type {{start: number, end: number} | null} */ region = null;  // the last selection, which `toggleLoop` takes
  parts = {muted: new Set(), solo: new Set()};

  #sources = new Map();  // id -> source, the newest last
  #positions = new Map();  // id -> seconds, of pieces that are not loaded now
  #volume = storedVolume();
  #muted = false;
  #blocked = false;
  #frame = 0;

  get source() { return this.piece ? this.#sources.get(this.piece.id) : null; }
  get position() { return this.source?.position ?? 0; }
  get duration() { return this.source?.duration ?? 0; }
  get error() { return this.source?.error ?? null; }
  get playing() { return this.state === 'playing' || this.state === 'waiting'; }
  get state() {
    if (!this.source) return 'empty';
    return this.#blocked && this.source.active ? 'blocked' : this.source.state;
  }

  /** Whether the samples of this piece are in memory. @param {string} id */
  holds(id) { return this.#sources.has(id); }

  /** Peaks of what has arrived of a piece, 0 to 255 a bar; null if it is not in memory. @param {string} id @returns {Uint8Array | null} */
  levelsOf(id) { return this.#sources.get(id)?.levels ?? null; }

  /** Seconds where this piece would go on. @param {string} id @returns {number} */
  positionOf(id) { return this.#sources.get(id)?.position ?? this.#positions.get(id) ?? 0; }

  /** Makes a piece the current one, without a sound. The one before it pauses. @param {Version} version */
  load(version) {
    if (this.piece?.id === version.id) return this.update(version);
    this.source?.pause();
    this.parts = {muted: new Set(), solo: new Set()};
    this.#enter(version);
    this.#forgetRegion();
    this.source.setLoop(null);
    this.source.seek(this.#restart(this.positionOf(version.id)));
    this.#tell('piece', 'state', 'time', 'parts', 'loop');
  }

  /** Takes over newer facts of the current piece. @param {Version} version */
  update(version) {
    if (this.piece?.id !== version.id) return;
    this.piece = version;
    this.source.update(version);
    this.#applyParts();
    this.#tell('piece');
  }

  /** Plays the current piece, or the given one, which has to be the current one or in memory. @param {string} [id] */
  play(id) {
    const version = id === undefined || id === this.piece?.id ? this.piece : this.#sources.get(id)?.version;
    if (!version) throw new Error(`The piece ${id} is not loaded; call transport.load(version) first.`);
    if (version !== this.piece) this.load(version);
    this.#silenceOthers();
    this.#resume();
    if (!this.source.active) this.source.play(this.#restart(this.position));
    this.#tell('state');
    this.#follow();
  }

  pause() {
    this.source?.pause();
    this.#tell('time');
  }

  toggle() { if (this.playing) this.pause(); else if (this.piece) this.play(); }

  /** @param {number} seconds in the current piece; beyond its ends: the end */
  seek(seconds) {
    if (!this.source) return;
    this.source.seek(Math.max(0, Math.min(seconds, this.#reach)));
    this.#tell('time');
  }

  /** The last place one can seek to: of a piece that still grows, a moment before what has arrived. */
  get #reach() {
    const {source, piece} = this;
    if (!piece.pcm || piece.complete || !source.loaded.length) return this.duration;
    return Math.max(0, Math.max(source.loaded.at(-1)[1] * this.duration, piece.made ?? 0) - 0.3);
  }

  /**
   * Changes the piece and keeps place, sound, loop and silenced parts: what plays goes over into the other one as soon as that has
   * arrived there. The place is that of the music, in beats, where both tempi are known. @param {Version} version
   */
  switchTo(version) {
    if (!this.piece || this.piece.id === version.id) return this.load(version);
    const before = this.source, playing = before.active, pace = paceBetween(this.piece, version), position = before.position * pace;
    this.#enter(version);
    this.loop = moved(this.loop, pace, version.seconds);
    this.region = moved(this.region, pace, version.seconds);
    this.source.setLoop(this.loop);
    if (playing) this.source.play(position, {from: before, pace});
    else this.source.seek(Math.min(position, this.duration || position));
    this.#tell('piece', 'state', 'time', 'parts', 'loop');
  }

  /** @param {{start: number, end: number} | null} loop seconds */
  setLoop(loop) {
    if (!this.source) return;
    this.loop = loop && clampLoop(loop, this.duration);
    if (this.loop) this.region = this.loop;
    this.source.setLoop(this.loop);
    this.#tell('loop');
  }

  /** Loop on or off: of the last selection, else of the whole piece. */
  toggleLoop() { this.setLoop(this.loop ? null : this.region ?? {start: 0, end: this.duration}); }

  /** Forgets the selection and its loop. */
  clearLoop() {
    this.region = null;
    this.setLoop(null);
  }

  /** Which parts sound: the solo ones if there are any, without the muted ones. @param {{muted: Set<string>, solo: Set<string>}} parts */
  setParts({muted, solo}) {
    this.parts = {muted: new Set(muted), solo: new Set(solo)};
    this.#applyParts();
    this.#tell('parts');
  }

  #applyParts() {
    const names = Object.keys(this.piece?.stems ?? {}), {muted, solo} = this.parts;
    const audible = names.filter(name => !muted.has(name) && (!solo.size || solo.has(name)));
    this.source?.setParts(audible.length === names.length ? null : audible);
  }

  get volume() { return this.#volume; }

  /** Volume of the page, 0 to 1. The next visit begins with it. */
  set volume(level) {
    this.#volume = Math.max(0, Math.min(1, level));
    this.#muted = false;
    localStorage.setItem(VOLUME_KEY, String(this.#volume));
    this.#applyVolume();
  }

  get muted() { return this.#muted; }

  set muted(muted) {
    this.#muted = muted;
    this.#applyVolume();
  }

  #applyVolume() {
    const level = this.#muted ? 0 : this.#volume ** 2;  // closer to how loud it seems than the plain factor
    if (this.output) this.output.gain.setTargetAtTime(level, this.context.currentTime, 0.01);
    this.#tell('volume');
  }

  /** Stops, lets go of all samples, and has no piece. */
  close() {
    for (const id of [...this.#sources.keys()]) this.#drop(id);
    this.piece = null;
    this.#forgetRegion();
    this.#tell('piece', 'state');
  }

  #drop(id) {
    this.#keepPosition(id);
    this.#sources.get(id).close();
    this.#sources.delete(id);
  }

  #keepPosition(id) {
    this.#positions.delete(id);
    this.#positions.set(id, this.#sources.get(id).position);
    if (this.#positions.size > KEPT_POSITIONS) this.#positions.delete(this.#positions.keys().next().value);
  }

  /** Makes this version the current one, with a source that is in memory or a new one, and lets go of older pieces. */
  #enter(version) {
    this.#prepare();
    const source = this.#sources.get(version.id) ?? this.#open(version);
    this.#sources.delete(version.id);
    this.#sources.set(version.id, source);
    this.piece = version;
    source.update(version);
    this.#applyParts();
    while (this.#sources.size > KEPT_PIECES) this.#drop(this.#sources.keys().next().value);
  }

  #open(version) {
    const source = new (version.pcm ? PcmSource : ElementSource)(this.context, this.output, version);
    const current = name => () => { if (source === this.source) this.#tell(name); };
    source.addEventListener('state', current('state'));
    source.addEventListener('state', current('time'));
    source.addEventListener('data', current('data'));
    return source;
  }

  #forgetRegion() { this.loop = this.region = null; }

  /** A piece that has ended begins anew. */
  #restart(position) { return this.duration && position >= this.duration - 0.02 ? this.loop?.start ?? 0 : position; }

  #prepare() {
    if (this.context) return;
    this.context = new AudioContext({latencyHint: 'balanced'});
    this.output = new GainNode(this.context, {gain: this.#volume ** 2});
    this.output.connect(this.context.destination);
    this.context.addEventListener('statechange', () => this.#unblocked());
  }

  #resume() {
    if (this.context.state === 'running') return;
    this.#blocked = navigator.userActivation ? !navigator.userActivation.hasBeenActive && !this.#allowed() : false;
    this.context.resume();  // stays pending until the browser allows it
    setTimeout(() => this.#noticeSilence(), PATIENCE);
  }

  /** A browser that does not say so beforehand, or has nothing to play to, leaves the clock standing. */
  #noticeSilence() {
    if (this.context.state === 'running' || !this.source?.active) return;
    this.#blocked = true;
    this.#tell('state');
  }

  /** Whether the browser starts sound without a click, as far as it tells. */
  #allowed() { return navigator.getAutoplayPolicy?.('audiocontext') === 'allowed'; }

  #unblocked() {
    if (this.context.state === 'running') this.#blocked = false;
    this.#tell('state');
    this.#follow();
  }

  #silenceOthers() {
    for (const element of document.querySelectorAll('audio, video')) if (!element.muted && !element.paused) element.pause();
  }

  #follow() {
    cancelAnimationFrame(this.#frame);
    const step = () => {
      if (!this.playing) return;
      this.#tell('time');
      this.#frame = requestAnimationFrame(step);
    };
    this.#frame = requestAnimationFrame(step);
  }

  #tell(...names) { for (const name of names) this.dispatchEvent(new Event(name)); }
}

/** Seconds of the second piece that last as many beats as one second of the first; 1 where a tempo is not known. */
function paceBetween(first, second) {
  const tempo = version => version.facts?.tempo ?? version.tempo;
  return tempo(first) && tempo(second) ? tempo(first) / tempo(second) : 1;
}

/** A passage at its place in another piece. */
function moved(loop, pace, duration) {
  return loop && duration ? clampLoop({start: loop.start * pace, end: loop.end * pace}, duration) : loop;
}

function clampLoop({start, end}, duration) {
  const first = Math.max(0, Math.min(start, duration - SHORTEST_LOOP));
  return {start: first, end: Math.min(duration, Math.max(end, first + SHORTEST_LOOP))};
}

function storedVolume() {
  const level = Number(localStorage.getItem(VOLUME_KEY) ?? 0.8);
  return level >= 0 && level <= 1 ? level : 0.8;
}

export const transport = new Transport();

// Another player on the page (a clip, a preview of an upload) that begins to sound takes the turn. Media events do not bubble.
document.addEventListener('play', event => { if (!event.target.muted) transport.pause(); }, true);
