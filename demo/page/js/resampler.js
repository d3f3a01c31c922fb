// Samples of a piece at the rate of the audio device. A browser joins buffers of another rate with linear interpolation and
// starts afresh at each, which is audible; here each output sample is a fixed windowed-sinc sum of the samples around it, so
// that pieces of one sound join without a seam, whatever they are cut into.

const TAPS = 32;  // samples around each output sample, when the device is at least as fast as the piece
const MAX_PHASES = 2048;

/**
 * @typedef {{read: (first: number, count: number) => Int16Array, channels: number, frames: number}} Pcm
 * read: interleaved samples; frames: of the whole piece
 */

export class Resampler {
  /** @param {number} rate of the piece @param {number} outputRate of the device, both in Hz */
  constructor(rate, outputRate) {
    const divisor = gcd(rate, outputRate);
    this.step = rate / outputRate;  // input frames per output frame
    this.phases = outputRate / divisor <= MAX_PHASES ? outputRate / divisor : MAX_PHASES;
    this.reach = this.step === 1 ? 0 : Math.ceil(TAPS / 2 * Math.max(1, this.step));  // input frames needed on each side
    this.filters = this.step === 1 ? [] : sincFilters(this.phases, this.reach, Math.min(1, 1 / this.step));
  }

  /**
   * Adds output frames [start, start + count) of `pcm` to the channels of `output`; outside of the piece is silence.
   * @param {Pcm} pcm @param {number} start @param {number} count @param {Float32Array[]} output one or two channels
   */
  add(pcm, start, count, output) {
    const first = Math.max(0, Math.floor(start * this.step) - this.reach - 1);
    const end = Math.min(pcm.frames, Math.ceil((start + count) * this.step) + this.reach + 1);
    if (end <= first) return;
    const samples = pcm.read(first, end - first);
    output.forEach((channel, index) => {
      const offset = Math.min(index, pcm.channels - 1), part = {samples, channels: pcm.channels, first, end};
      if (this.step === 1) addPlain(part, offset, start, count, channel);
      else this.#addFiltered(part, offset, start, count, channel);
    });
  }

  #addFiltered({samples, channels, first, end}, offset, start, count, channel) {
    const width = 2 * this.reach;
    for (let index = 0; index < count; index++) {
      const exact = (start + index) * this.step, tick = Math.round(exact * this.phases);
      const centre = Math.floor(tick / this.phases), filter = this.filters[tick - centre * this.phases];
      let sum = 0, frame = centre - this.reach + 1;
      for (let tap = 0; tap < width; tap++, frame++) {
        if (frame >= first && frame < end) sum += filter[tap] * samples[(frame - first) * channels + offset];
      }
      channel[index] += sum;
    }
  }
}

function addPlain({samples, channels, first, end}, offset, start, count, channel) {
  const last = Math.min(count, end - start);
  for (let index = Math.max(0, -start); index < last; index++) channel[index] += samples[(start + index - first) * channels + offset] / 32768;
}

/** Filters of one phase each, with a Blackman window, scaled so that a constant keeps its level and 32768 becomes 1. */
function sincFilters(phases, reach, cutoff) {
  return Array.from({length: phases}, (_, phase) => {
    const filter = new Float64Array(2 * reach);
    let sum = 0;
    for (let tap = 0; tap < filter.length; tap++) {
      const distance = tap - reach + 1 - phase / phases, angle = Math.PI * distance / reach, x = Math.PI * distance * cutoff;
      const window = 0.42 + 0.5 * Math.cos(angle) + 0.08 * Math.cos(2 * angle);
      filter[tap] = Math.abs(distance) > reach ? 0 : (x ? Math.sin(x) / x : 1) * window;
      sum += filter[tap];
    }
    return filter.map(value => value / sum / 32768);
  });
}

function gcd(a, b) { return b ? gcd(b, a % b) : a; }
