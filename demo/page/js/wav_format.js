// The header of a WAV file. The server's files state their final length before all samples exist, so the header alone gives
// the length of a piece that still grows.

/**
 * @typedef {{rate: number, channels: number, dataOffset: number, dataBytes: number}} WavHeader
 *   rate in Hz; dataOffset: of the first sample in the file; dataBytes: of all samples, including those still to come
 */

/**
 * @param {Uint8Array} bytes the beginning of the file
 * @returns {WavHeader | null} null as long as the beginning is too short to tell
 * @throws {Error} for anything but 16-bit PCM with one or two channels
 */
export function parseWavHeader(bytes) {
  if (bytes.length < 12) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (tag(view, 0) !== 'RIFF' || tag(view, 8) !== 'WAVE') throw new Error('This sound is not a WAV file.');
  let format = null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = tag(view, at), size = view.getUint32(at + 4, true);
    if (name === 'data') {
      if (!format) throw new Error('This WAV file has no format before its samples.');
      return {...format, dataOffset: at + 8, dataBytes: size - size % (2 * format.channels)};
    }
    if (name === 'fmt ') {
      if (at + 24 > bytes.length) return null;
      const [kind, channels, rate, bits] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true), view.getUint32(at + 12, true), view.getUint16(at + 22, true)];
      if (kind !== 1 || bits !== 16 || channels < 1 || channels > 2 || !rate) {
        throw new Error(`This WAV file has ${channels} channels of ${bits} bits (format ${kind}); the player streams 16-bit PCM, mono or stereo.`);
      }
      format = {rate, channels};
    }
    at += 8 + size + size % 2;
  }
  return null;
}

function tag(view, at) { return String.fromCharCode(view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2), view.getUint8(at + 3)); }
