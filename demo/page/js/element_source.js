// Any other file (mp3, ogg, a recording of the user) as a source of sound: an audio element in the same graph, with the
// interface of `pcm_source.js`. The browser downloads, decodes and seeks; a loop is as exact as its clock.

const FADE = 0.02;
const LOOP_TICK = 15;  // milliseconds between two looks at a loop's end

export class ElementSource extends EventTarget {
  /** @param {AudioContext} context @param {AudioNode} destination @param {object} version of a card */
  constructor(context, destination, version) {
    super();
    Object.assign(this, {context, version, state: 'paused', error: null, loop: null, from: null, pace: 1});
    this.element = new Audio(version.url);
    this.element.preload = 'auto';
    this.node = context.createMediaElementSource(this.element);
    this.gain = new GainNode(context, {gain: 0});
    this.node.connect(this.gain).connect(destination);
    this.resting = 0;
    this.#listen();
  }

  #timer = 0;
  #wanted = false;

  #listen() {
    const on = (name, run) => this.element.addEventListener(name, run);
    on('playing', () => { if (this.#wanted) this.#become('playing'); });
    on('waiting', () => { if (this.#wanted) this.#become('waiting'); });
    on('ended', () => this.#ended());
    on('progress', () => this.dispatchEvent(new Event('data')));
    on('loadedmetadata', () => this.dispatchEvent(new Event('data')));
    on('error', () => this.#fail(new Error('The browser cannot play this file; it may have been deleted, or its format is not known here.')));
  }

  get duration() {
    const {duration} = this.element;
    return Number.isFinite(duration) && duration > 0 ? duration : this.version.seconds || 0;
  }

  get position() { return this.element.readyState ? this.element.currentTime : this.resting; }

  get active() { return this.state === 'playing' || this.state === 'waiting'; }

  get loaded() {
    const {buffered} = this.element, total = this.duration || 1;
    return Array.from({length: buffered.length}, (_, index) => [buffered.start(index) / total, buffered.end(index) / total]);
  }

  get levels() { return null; }

  update(version) { this.version = version; }

  /** @param {number} position seconds @param {{from?: Source, pace?: number}} [options] from: the source whose sound goes over into
   * this one; pace: seconds of this piece for each of that one */
  play(position, {from = null, pace = 1} = {}) {
    clearInterval(this.#timer);
    this.from?.pause();
    Object.assign(this, {from, pace});
    if (this.error) { this.error = null; this.element.load(); }
    this.#wanted = true;
    this.resting = position;
    this.#become('waiting');
    this.#start();
  }

  async #start() {
    await this.#metadata();
    if (!this.#wanted) return;
    this.element.currentTime = this.from?.active ? this.from.position * this.pace : this.resting;
    try {
      await this.element.play();
    } catch (error) {
      if (error.name !== 'AbortError') this.#fail(new Error('The browser did not start this sound; press play again.'));
      return;
    }
    if (!this.#wanted) return;
    this.from?.end(this.context.currentTime);
    this.from = null;
    this.#fade(1);
    this.#timer = setInterval(() => this.#repeat(), LOOP_TICK);
  }

  #metadata() {
    if (this.element.readyState) return Promise.resolve();
    return new Promise(resolve => this.element.addEventListener('loadedmetadata', resolve, {once: true}));
  }

  pause() {
    this.from?.pause();
    this.from = null;
    this.end(this.context.currentTime);
  }

  positionAt(time) { return this.position + (this.state === 'playing' ? time - this.context.currentTime : 0); }

  end(time) {
    this.resting = this.position;
    this.#wanted = false;
    clearInterval(this.#timer);
    this.#fade(0);
    const wait = 1000 * (Math.max(0, time - this.context.currentTime) + FADE);
    setTimeout(() => { if (!this.#wanted) this.element.pause(); }, wait);
    if (this.state !== 'failed') this.#become('paused');
  }

  seek(position) {
    this.resting = position;
    if (this.element.readyState) this.element.currentTime = position;
    else this.#metadata().then(() => { this.element.currentTime = this.resting; });
    if (this.state === 'ended') this.#become('paused');
  }

  canPlay() { return this.element.readyState >= 3; }

  setLoop(loop) { this.loop = loop; }

  setParts() {}

  close() {
    this.#wanted = false;
    clearInterval(this.#timer);
    this.element.pause();
    this.element.removeAttribute('src');
    this.element.load();
    this.node.disconnect();
    this.gain.disconnect();
  }

  #repeat() {
    const {loop} = this;
    if (loop && this.#wanted && this.element.currentTime >= loop.end) this.element.currentTime = loop.start;
  }

  #ended() {
    if (this.loop && this.#wanted) return this.play(this.loop.start);
    this.resting = this.duration;
    this.#wanted = false;
    this.#become('ended');
  }

  #fade(level) { this.gain.gain.setTargetAtTime(level, this.context.currentTime, FADE / 4); }

  #fail(error) {
    if (!this.element.hasAttribute('src')) return;  // closed
    this.error = error;
    this.#wanted = false;
    clearInterval(this.#timer);
    this.#become('failed');
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}
