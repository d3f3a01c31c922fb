// The samples of one WAV file, as they arrive. The file may still grow: the server announces its final size and sends what is
// there. It can be read from anywhere by a Range request, so that a seek does not wait for all that lies before. Of a long sound a part
// around the place that is wanted stays in memory, and the rest is read again when it is needed.
import {PcmBlocks} from './pcm_blocks.js';
import {parseWavHeader} from './wav_format.js';

const KEPT_BYTES = 16 << 20;  // of one track, two minutes of stereo
const AHEAD_BYTES = KEPT_BYTES / 2;  // read beyond the wanted place, if not all fits
export const LEVEL_BARS = 240;
const ATTEMPTS = 6;  // without one new byte, before the sound counts as lost
const NEAR_SECONDS = 2;  // a seek so far ahead of the download waits for it

/** Dispatches 'data' when samples have arrived and 'failed' when the file cannot be read (`error` says why). */
export class PcmTrack extends EventTarget {
  /** @param {string} url @param {boolean} complete whether the file has its final size */
  constructor(url, complete) {
    super();
    this.url = url;
    this.complete = complete;
    this.blocks = null;
    this.kept = [0];  // frames to which a jump may lead at once: the beginning, that of a loop
    this.frames = this.rate = this.channels = 0;
    this.peaks = new Uint8Array(LEVEL_BARS);  // of what has arrived, absolute, 0 to 255
    this.error = null;
    this.closed = false;
    this.ranges = [];  // [first, end) bytes of the samples that are here, sorted and apart
    this.#target = this.#place = 0;
    this.#run();
  }

  #header = null;
  #target;  // byte to read next, if it has not arrived
  #place;  // byte that was wanted last
  #abort = null;
  #running = false;
  #reading = 0;  // byte that the present download has reached

  get duration() { return this.rate ? this.frames / this.rate : 0; }

  /** @param {number} first frame @param {number} count @returns {Int16Array} interleaved samples, zeros for those that are not here */
  read(first, count) { return this.blocks ? this.blocks.read(first, count) : new Int16Array(count * this.channels); }

  /** @param {number} frame @returns {number} frames that have arrived from this one on, without a gap */
  loadedFrom(frame) {
    const at = frame * this.#frameBytes, range = this.ranges.find(([first, end]) => first <= at && at < end);
    return range ? Math.floor((range[1] - at) / this.#frameBytes) : 0;
  }

  get #frameBytes() { return 2 * (this.channels || 1); }

  /** Asks for the samples from this frame on: a download that is far from there moves. @param {number} frame */
  want(frame) {
    if (!this.#header || frame >= this.frames) return;
    this.#place = frame * this.#frameBytes;
    if (!this.#running && !this.error && this.#isDue(frame)) this.#run();  // it rested
    if (this.loadedFrom(frame)) return;
    this.#target = this.#place;
    const near = this.#target >= this.#reading && this.#target - this.#reading < NEAR_SECONDS * this.rate * this.#frameBytes;
    if (!near) this.#abort?.abort();
  }

  /** Reads on after a failure. */
  retry() {
    if (!this.error || this.closed) return;
    this.error = null;
    this.#run();
  }

  /** Ends the download and lets go of the samples. */
  close() {
    this.closed = true;
    this.#abort?.abort();
    this.blocks = null;
    this.ranges = [];
  }

  async #run() {
    this.#running = true;
    await this.#readAll();
    this.#running = false;
  }

  async #readAll() {
    for (let attempt = 0; !this.closed;) {
      const first = this.#nextByte(), before = this.#arrived;
      if (first === null) return;
      try {
        await this.#read(first);
      } catch (error) {
        if (this.closed) return;
        if (error.name === 'AbortError') continue;  // a seek
        if (!(error instanceof TypeError)) return this.#fail(error);  // TypeError: the network
      }
      attempt = this.#arrived > before ? 0 : attempt + 1;
      if (attempt >= ATTEMPTS) return this.#fail(new Error('The sound does not arrive; check the connection and press play again.'));
      if (attempt) await new Promise(resolve => setTimeout(resolve, 100 * 2 ** attempt));
    }
  }

  get #arrived() { return this.ranges.reduce((sum, [first, end]) => sum + end - first, 0); }

  #fail(error) {
    this.error = error;
    this.dispatchEvent(new Event('failed'));
  }

  /** The byte to read from: the one that was asked for, else the first gap; null when all is there. */
  #nextByte() {
    if (!this.#header) return 0;
    const total = this.#total, starts = this.#fits ? [this.#target, 0] : [this.#place];
    for (const start of starts) {
      const range = this.ranges.find(([first, end]) => first <= start && start < end), gap = range ? range[1] : start;
      if (gap < total && !this.#isFarAhead(gap)) return gap;
    }
    return null;
  }

  get #total() { return this.frames * this.#frameBytes; }

  get #fits() { return this.#total <= KEPT_BYTES; }

  /** Whether a download that rested goes on: at half of what it reads ahead, so that it does not begin anew for every moment. */
  #isDue(frame) { return this.#fits || this.loadedFrom(frame) * this.#frameBytes < AHEAD_BYTES / 2; }

  /** Whether there is time to read this byte. */
  #isFarAhead(byte) { return !this.#fits && byte - this.#place > AHEAD_BYTES; }

  async #read(first) {
    this.#abort = new AbortController();
    this.#reading = first;
    const offset = this.#header ? this.#header.dataOffset + first : 0;
    const headers = offset ? {Range: `bytes=${offset}-`} : {};
    const response = await fetch(this.url, {headers, signal: this.#abort.signal, cache: 'no-store'});
    if (!response.ok) throw new Error(statusMessage(response.status));
    const reader = response.body.getReader();
    try {
      let at = response.status === 206 ? offset : 0;  // a server without ranges sends all of it again
      for (let pending = new Uint8Array(0); ;) {
        const {done, value} = await reader.read();
        if (done || this.closed) return;
        const bytes = this.#header ? value : joined(pending, value);
        if (!this.#header && !this.#begin(bytes)) { pending = bytes; continue; }
        if (this.#put(at - this.#header.dataOffset, bytes)) return;
        at += bytes.length;
      }
    } finally {
      await reader.cancel().catch(() => {});  // already ended or aborted
    }
  }

  #begin(bytes) {
    const header = parseWavHeader(bytes);
    if (!header) return false;
    Object.assign(this, {rate: header.rate, channels: header.channels, frames: header.dataBytes / 2 / header.channels});
    this.blocks = new PcmBlocks(this.frames, this.channels);
    this.#header = header;
    return true;
  }

  /** Keeps bytes at their place; true when what follows is there already, so that this download may end. */
  #put(first, bytes) {
    const skip = Math.max(0, -first), start = first + skip, end = Math.min(first + bytes.length, this.#total);
    if (end <= start) return start >= this.#total;
    this.blocks.put(start, bytes.subarray(skip, skip + end - start));
    this.#measure(start, end);
    this.ranges = merged([...this.ranges, [start, end]]);
    this.#reading = end;
    this.#letGo();
    this.dispatchEvent(new Event('data'));
    return this.ranges.some(([from, to]) => from <= end && end < to) || end === this.#total || this.#isFarAhead(end);
  }

  /** Keeps what fits, around the wanted place. */
  #letGo() {
    while (this.blocks.bytes > KEPT_BYTES + this.blocks.blockBytes) {
      const gone = this.blocks.dropFarthest(this.#place, this.kept.map(frame => frame * this.#frameBytes));
      if (!gone) return;
      this.ranges = this.ranges.flatMap(range => without(range, gone));
    }
  }

  #measure(start, end) {
    const first = Math.floor(start / this.#frameBytes), last = Math.ceil(end / this.#frameBytes);
    const samples = this.blocks.read(first, last - first), scale = LEVEL_BARS / this.frames / this.channels;
    for (let index = 0; index < samples.length; index++) {
      const level = Math.min(255, Math.abs(samples[index]) >> 7), bar = Math.floor((first * this.channels + index) * scale);
      if (level > this.peaks[bar]) this.peaks[bar] = level;
    }
  }
}

function statusMessage(status) {
  if (status === 404 || status === 410) return 'This sound is no longer on the server; its conversation was deleted.';
  return `The server did not send this sound (status ${status}); press play to try again.`;
}

function joined(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** What is left of a range. */
function without([first, end], [from, to]) {
  return [[first, Math.min(end, from)], [Math.max(first, to), end]].filter(([start, stop]) => start < stop);
}

/** Ranges that touch or overlap become one. */
function merged(ranges) {
  const result = [];
  for (const [first, end] of ranges.sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last && first <= last[1]) last[1] = Math.max(last[1], end);
    else result.push([first, end]);
  }
  return result;
}
