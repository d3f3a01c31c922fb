// The samples of a long sound in blocks that are there or not, so that a page keeps a bounded part of it in memory.

const BLOCK_FRAMES = 1 << 17;  // some four seconds

export class PcmBlocks {
  #blocks = new Map();  // number -> Int16Array of interleaved samples

  /** @param {number} frames of the whole sound @param {number} channels */
  constructor(frames, channels) {
    this.frames = frames;
    this.channels = channels;
    this.blockBytes = 2 * BLOCK_FRAMES * channels;
  }

  /** Bytes that the blocks take. */
  get bytes() { return this.#blocks.size * this.blockBytes; }

  /** Keeps bytes of the samples at their place. @param {number} start byte @param {Uint8Array} bytes */
  put(start, bytes) {
    for (let done = 0; done < bytes.length;) {
      const number = Math.floor((start + done) / this.blockBytes), offset = start + done - number * this.blockBytes;
      const count = Math.min(bytes.length - done, this.blockBytes - offset);
      if (!this.#blocks.has(number)) this.#blocks.set(number, new Int16Array(BLOCK_FRAMES * this.channels));
      new Uint8Array(this.#blocks.get(number).buffer).set(bytes.subarray(done, done + count), offset);
      done += count;
    }
  }

  /** Interleaved samples; zeros for those that are not there. @param {number} first frame @param {number} count @returns {Int16Array} */
  read(first, count) {
    const samples = new Int16Array(count * this.channels);
    for (let done = 0; done < count;) {
      const number = Math.floor((first + done) / BLOCK_FRAMES), offset = first + done - number * BLOCK_FRAMES;
      const length = Math.min(count - done, BLOCK_FRAMES - offset), block = this.#blocks.get(number);
      if (block) samples.set(block.subarray(offset * this.channels, (offset + length) * this.channels), done * this.channels);
      done += length;
    }
    return samples;
  }

  /**
   * Lets go of the block that is farthest from a place. Those at the kept places stay, which a jump needs at once.
   * @param {number} place byte @param {number[]} kept bytes @returns {number[] | null} [first, end) bytes that are gone
   */
  dropFarthest(place, kept) {
    const home = Math.floor(place / this.blockBytes), stays = new Set();
    for (const byte of kept) for (const next of [0, 1, 2]) stays.add(Math.floor(byte / this.blockBytes) + next);
    let farthest = null;
    for (const number of this.#blocks.keys()) {
      if (!stays.has(number) && (farthest === null || Math.abs(number - home) > Math.abs(farthest - home))) farthest = number;
    }
    if (farthest === null || Math.abs(farthest - home) < 2) return null;
    this.#blocks.delete(farthest);
    return [farthest * this.blockBytes, (farthest + 1) * this.blockBytes];
  }
}
