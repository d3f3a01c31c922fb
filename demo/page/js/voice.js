// One run of sound from a start to a stop, cut into short buffers that are scheduled on the audio clock ahead of time. Times
// and places are whole frames of the audio device, so that buffers join exactly and a loop repeats exactly.

const CHUNK_SECONDS = 0.1;
const SEAM_SECONDS = 0.003;  // of a loop: what follows its end fades out over its start, so that the jump makes no click
const DECLICK_SECONDS = 0.008;  // fade where the sound has to wait for its download
const MARGIN = 512;  // frames by which the audio thread may be ahead of the time that the page reads
const TOO_LATE = 0.06;  // seconds before a buffer sounds, from which on it stays

/**
 * @typedef {{track: import('./pcm_track.js').PcmTrack, resampler: import('./resampler.js').Resampler}} Layer
 * @typedef {{start: number, end: number}} FrameLoop in frames of the device
 */

export class Voice {
  /**
   * @param {AudioContext} context @param {AudioNode} destination
   * @param {Layer[]} layers whose sum sounds @param {number} frame where it begins in the piece; before the end of piece and loop
   * @param {{time: number, total: number, loop: FrameLoop | null, fade: number, power: boolean, continues: boolean}} options
   *   time: on the audio clock; total: frames of the piece; fade: seconds; power: whether the fade keeps the power (between
   *   different sounds) or the amplitude (between equal ones); continues: another voice sounds at this place till then
   */
  constructor(context, destination, layers, frame, {time, total, loop, fade, power, continues}) {
    Object.assign(this, {context, layers, total, loop, power, continues});
    this.rate = context.sampleRate;
    this.channels = Math.max(1, ...layers.map(layer => layer.track.channels));
    this.startFrame = Math.ceil(time * this.rate);  // of the audio clock
    this.clockFrame = this.startFrame;  // where the next buffer goes
    this.frame = frame;  // of the piece, that the next buffer begins with
    this.segments = [{clock: this.startFrame, frame}];
    this.starved = this.finished = this.stopped = false;
    this.tail = null;  // the buffer that ends with what has arrived
    this.declick = Math.round(DECLICK_SECONDS * this.rate);
    this.seam = 0;  // frames of a loop's end that still fade out
    this.nodes = new Set();
    this.fadeOut = new GainNode(context);
    this.fadeIn = new GainNode(context, {gain: fade ? 0 : 1});  // a curve may begin a frame after the sound: silent until then
    this.fadeIn.connect(this.fadeOut).connect(destination);
    if (fade) this.fadeIn.gain.setValueCurveAtTime(fadeCurve(power), this.startFrame / this.rate, fade);
  }

  /** Schedules buffers up to this time. @param {number} until seconds on the audio clock */
  fill(until) {
    if (this.tail) this.#takeTailBack();
    else if (this.#isLate) this.starved = true;  // the page was busy for longer than what was scheduled
    while (!this.stopped && !this.finished && !this.starved && !this.tail && this.clockFrame < until * this.rate) {
      const limit = this.loop ? this.loop.end : this.total, available = this.#available();
      const count = Math.min(Math.round(CHUNK_SECONDS * this.rate), limit - this.frame);
      if (available < count + this.declick && available < limit - this.frame) return this.#scheduleTail(Math.max(1, available));
      this.#schedule(count, false);
      if (this.frame < limit) continue;
      if (this.loop) this.#jump(); else this.finished = true;
    }
  }

  get #isLate() { return !this.finished && this.clockFrame > this.startFrame && this.clockFrame < this.context.currentTime * this.rate; }

  /** Frames of the device that can be computed from here: all layers must have arrived, with the samples of the filters. */
  #available() {
    return Math.min(...this.layers.map(({track, resampler}) => {
      const first = Math.max(0, Math.floor(this.frame * resampler.step) - resampler.reach + 1);
      if (first >= track.frames) return Infinity;
      const end = first + track.loadedFrom(first);
      return end >= track.frames ? Infinity : Math.floor((end - resampler.reach) / resampler.step) - this.frame;
    }));
  }

  /** All that has arrived, with a fade at its end: the last buffer, unless more arrives before it sounds. */
  #scheduleTail(count) {
    this.tail = {clock: this.clockFrame, frame: this.frame, count, seam: this.seam};
    this.tail.node = this.#schedule(count, true);
  }

  #takeTailBack() {
    const {node, clock, frame, count, seam} = this.tail;
    if (clock / this.rate < this.context.currentTime + TOO_LATE) { this.starved = true; return; }
    const end = this.frame;
    this.frame = frame;
    if (this.#available() <= count) { this.frame = end; return; }
    Object.assign(this, {clockFrame: clock, seam, tail: null});
    if (!node) return;
    this.nodes.delete(node);
    node.onended = null;
    node.disconnect();
  }

  #jump() {
    this.frame = this.loop.start;
    this.segments.push({clock: this.clockFrame, frame: this.frame});
    if (this.segments.length > 64) this.segments.splice(0, 32);
    this.seam = Math.min(Math.round(SEAM_SECONDS * this.rate), this.loop.end - this.loop.start);
  }

  #schedule(count, last) {
    const buffer = new AudioBuffer({length: count, numberOfChannels: this.channels, sampleRate: this.rate});
    const output = Array.from({length: this.channels}, (_, index) => buffer.getChannelData(index));
    for (const {track, resampler} of this.layers) resampler.add(track, this.frame, count, output);
    if (this.seam) this.#mixSeam(output, count);
    if (last) fadeTail(output, Math.min(count, this.declick));
    const node = this.#start(buffer, count);
    this.clockFrame += count;
    this.frame += count;
    return node;
  }

  /**
   * Starts a buffer at its place of the clock. What is late is left out, not put off: it would sound over what follows. A page that
   * was held up between looking at the clock and starting tries again. null: all of it was late.
   */
  #start(buffer, count) {
    for (;;) {
      const late = Math.max(0, Math.ceil(this.context.currentTime * this.rate) + MARGIN - this.clockFrame);
      if (late >= count) return null;
      const node = new AudioBufferSourceNode(this.context, {buffer});
      node.connect(this.fadeIn);
      node.start((this.clockFrame + late) / this.rate, late / this.rate);
      if (this.context.currentTime * this.rate <= this.clockFrame + late) {
        this.nodes.add(node);
        node.onended = () => this.#ended(node);
        return node;
      }
      node.disconnect();
    }
  }

  #mixSeam(output, count) {
    const length = Math.min(this.seam, count), tail = output.map(() => new Float32Array(length));
    for (const {track, resampler} of this.layers) resampler.add(track, this.loop.end, length, tail);
    output.forEach((channel, index) => {
      for (let at = 0; at < length; at++) channel[at] += (tail[index][at] - channel[at]) * (1 - at / length);
    });
    this.seam = 0;
  }

  /** Place in the piece, in seconds, that sounds at this time of the audio clock. @param {number} time @returns {number} */
  positionAt(time) {
    const now = time * this.rate;
    let segment = this.segments[0];
    for (const next of this.segments) if (next.clock <= now) segment = next;
    const passed = Math.min(now, this.clockFrame) - segment.clock;
    return Math.max(0, segment.frame + (this.continues || passed > 0 ? passed : 0)) / this.rate;
  }

  /** When the last scheduled sound ends, in seconds on the audio clock. */
  get end() { return this.clockFrame / this.rate; }

  /** Fades out. @param {number} time on the audio clock @param {number} fade seconds @param {boolean} [power] */
  stop(time, fade, power = false) {
    if (this.stopped) return;
    this.stopped = true;
    const start = Math.max(time, this.context.currentTime);
    this.fadeOut.gain.setValueCurveAtTime(fadeCurve(power).reverse(), start, fade);
    for (const node of this.nodes) node.stop(start + fade);
    if (!this.nodes.size) this.fadeOut.disconnect();
  }

  #ended(node) {
    node.disconnect();
    this.nodes.delete(node);
    if ((this.stopped || this.finished || this.starved) && !this.nodes.size) this.fadeOut.disconnect();
  }
}

function fadeCurve(power) {
  return Float32Array.from({length: 33}, (_, index) => power ? Math.sin(Math.PI / 2 * index / 32) : index / 32);
}

function fadeTail(output, length) {
  for (const channel of output) {
    for (let index = 1; index <= length; index++) channel[channel.length - index] *= (index - 1) / length;
  }
}
