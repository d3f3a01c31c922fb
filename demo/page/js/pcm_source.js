// A piece of ours, a 16-bit WAV, as a source of sound: it plays while the file still grows, waits without a click when the
// download is slower than the sound, and sums the files of single parts instead of the mix when some of them are silenced.
import {PcmTrack} from './pcm_track.js';
import {Resampler} from './resampler.js';
import {Voice} from './voice.js';

const TICK = 40;  // milliseconds between two looks at the schedule
const AHEAD = 0.5, AHEAD_HIDDEN = 2.5;  // seconds of sound that are scheduled; browsers slow the timers of hidden tabs down
const ENOUGH = 0.25;  // seconds that have to be there before the sound starts
const LEAD = 0.05;  // seconds from a decision to its sound
const FADE = 0.02;

/**
 * Dispatches 'state' when `state` changes ('paused', 'waiting', 'playing', 'ended', 'failed'), 'data' when samples arrive.
 * `element_source.js` has the same interface.
 */
export class PcmSource extends EventTarget {
  /** @param {AudioContext} context @param {AudioNode} destination @param {object} version of a card */
  constructor(context, destination, version) {
    super();
    Object.assign(this, {context, destination, version, state: 'paused', error: null, loop: null, from: null, pace: 1});
    this.resamplers = new Map();
    this.mix = this.#track(version.url, version.complete);
    this.stems = new Map();
    this.audible = null;  // names of the parts that sound; null: the mix
    this.voice = null;
    this.resting = 0;  // seconds, where the next sound starts
  }

  #timer = 0;

  #track(url, complete) {
    const track = new PcmTrack(url, complete);
    track.addEventListener('data', () => this.dispatchEvent(new Event('data')));
    track.addEventListener('failed', () => this.#fail(track.error));
    return track;
  }

  get duration() { return this.mix.duration || this.version.seconds || 0; }

  /** Seconds in the piece that are heard now. */
  get position() {
    if (!this.voice) return this.resting;
    return Math.min(this.voice.positionAt(this.context.currentTime - (this.context.outputLatency || 0)), this.duration);
  }

  /** Parts of the piece that have arrived, as [first, end) shares of its length. @returns {number[][]} */
  get loaded() {
    const total = this.mix.frames * this.mix.channels * 2;
    return this.mix.ranges.map(([first, end]) => [first / total, end / total]);
  }

  /** Absolute peaks of what has arrived, 0 to 255 a bar. @returns {Uint8Array} */
  get levels() { return this.mix.peaks; }

  /** @param {object} version the same piece with newer facts */
  update(version) {
    this.version = version;
    this.mix.complete = version.complete;
  }

  /** Plays from here on, as soon as enough is there. @param {number} position seconds @param {{from?: Source, pace?: number}} [options]
   * from: the source whose sound goes over into this one, at its place; pace: seconds of this piece for each of that one. */
  play(position, {from = null, pace = 1} = {}) {
    this.#halt();
    this.resting = Math.min(position, this.duration || position);
    Object.assign(this, {from, pace});
    for (const {track} of this.#layers()) track.retry();
    const before = this.state;
    this.state = 'waiting';
    this.#run();
    if (this.state === 'waiting' && before !== 'waiting') this.dispatchEvent(new Event('state'));
  }

  pause() {
    if (this.voice) this.resting = Math.min(this.voice.positionAt(this.context.currentTime), this.duration);
    this.#halt();
    if (this.state !== 'failed') this.#become('paused');
  }

  /** @param {number} position seconds */
  seek(position) {
    if (this.active) return this.play(position);
    this.resting = position;
    this.#want();
    if (this.state === 'ended') this.#become('paused');
  }

  get active() { return this.state === 'playing' || this.state === 'waiting'; }

  /** Whether the sound can start at this place at once. @param {number} position seconds */
  canPlay(position) {
    return this.mix.rate > 0 && this.#layers().every(({track}) => {
      const frame = Math.floor(position * track.rate);
      return track.rate > 0 && (frame >= track.frames || track.loadedFrom(frame) >= Math.min(ENOUGH * track.rate, track.frames - frame));
    });
  }

  /** @param {{start: number, end: number} | null} loop seconds */
  setLoop(loop) {
    this.loop = loop;
    if (this.voice) this.#change(false);
  }

  /** The parts that sound, summed; null: the mix; none: silence. @param {string[] | null} names keys of `version.stems` */
  setParts(names) {
    if (JSON.stringify(names) === JSON.stringify(this.audible)) return;
    this.audible = names;
    for (const name of names ?? []) {
      if (!this.stems.has(name)) this.stems.set(name, this.#track(this.version.stems[name], true));
    }
    this.#want();
    if (this.active) this.#run();
  }

  close() {
    this.#halt();
    for (const track of [this.mix, ...this.stems.values()]) track.close();
    this.stems.clear();
  }

  #layers() {
    const tracks = this.audible ? this.audible.map(name => this.stems.get(name)) : [this.mix];
    return tracks.map(track => ({track, resampler: this.#resampler(track.rate)}));
  }

  #resampler(rate) {
    if (rate && !this.resamplers.has(rate)) this.resamplers.set(rate, new Resampler(rate, this.context.sampleRate));
    return this.resamplers.get(rate);
  }

  #run() {
    clearInterval(this.#timer);
    this.#timer = setInterval(this.#tick, TICK);
    document.addEventListener('visibilitychange', this.#tick);  // schedules further ahead before the timer slows down
    this.#tick();
  }

  #want() {
    for (const {track} of this.#layers()) {
      track.kept = [0, Math.floor((this.loop?.start ?? 0) * track.rate)];
      track.want(Math.floor(this.position * track.rate));
    }
  }

  #tick = () => {
    if (!this.active) return this.#rest();
    if (this.context.state !== 'running') return;  // the clock stands
    if (!this.voice) return this.#begin();
    if (this.voice.parts !== this.audible && this.canPlay(this.position)) this.#change(false);
    this.#want();
    const now = this.context.currentTime;
    this.voice.fill(now + (document.hidden ? AHEAD_HIDDEN : AHEAD));
    if (this.voice.finished && now >= this.voice.end) this.#finish();
    else if (this.voice.starved && now >= this.voice.end) this.#wait();
  };

  #rest() {
    clearInterval(this.#timer);
    document.removeEventListener('visibilitychange', this.#tick);
  }

  #begin() {
    if (this.from?.active) this.resting = Math.min(this.from.position * this.pace, this.duration || Infinity);
    this.#want();
    if (!this.canPlay(this.resting)) return;
    if (this.resting >= this.duration) return this.#finish();
    const time = this.context.currentTime + LEAD;
    this.voice = this.#voice(this.#takeOver(time), time, true);
    this.#become('playing');
  }

  /** Where this source begins at `time`: the source before it ends there. */
  #takeOver(time) {
    const {from} = this;
    this.from = null;
    if (!from?.active) return this.resting;
    const position = from.positionAt(time) * this.pace;
    from.end(time);
    this.continues = true;
    return Math.min(position, this.duration);
  }

  /** @param {number} time on the audio clock @returns {number} seconds in the piece */
  positionAt(time) { return this.voice ? this.voice.positionAt(time) : this.resting; }

  /** Fades out at this time, because another source goes on. @param {number} time on the audio clock */
  end(time) {
    this.resting = this.positionAt(time);
    this.#halt(time, true);
    this.#become('paused');
  }

  #voice(position, time, power) {
    const rate = this.context.sampleRate, layers = this.#layers();
    const total = Math.floor(this.mix.frames / this.#resampler(this.mix.rate).step);
    const loop = this.loop && {start: Math.round(this.loop.start * rate), end: Math.min(total, Math.round(this.loop.end * rate))};
    let frame = Math.round(position * rate);
    if (loop && frame >= loop.end) frame = loop.start;
    const voice = new Voice(this.context, this.destination, layers, Math.min(frame, total - 1),
      {time, total, loop, fade: FADE, power, continues: Boolean(this.continues)});
    voice.parts = this.audible;
    this.continues = false;
    voice.fill(time + AHEAD);
    return voice;
  }

  /** Goes on at the same place with other layers or another loop. */
  #change(power) {
    const now = this.context.currentTime, time = now + LEAD, before = this.voice;
    this.continues = before.positionAt(now) !== before.positionAt(now - LEAD);  // it sounds already
    this.voice = this.#voice(before.positionAt(time), time, power);
    before.stop(time, FADE, power);
  }

  #halt(time = this.context.currentTime, power = false) {
    this.#rest();
    this.voice?.stop(time, FADE, power);
    this.voice = null;
    this.from?.pause();
    this.from = null;
  }

  #wait() {
    this.resting = this.voice.positionAt(this.voice.end);
    this.voice = null;
    this.#begin();
    if (!this.voice && this.active) this.#become('waiting');
  }

  #finish() {
    this.#halt();
    this.resting = this.duration;
    this.#become('ended');
  }

  #fail(error) {
    this.error = error;
    if (this.voice) this.resting = this.position;
    this.#halt();
    this.#become('failed');
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}
