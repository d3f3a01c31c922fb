// Times as people read them: "0:12", "1:02:03", and in words for screen readers.

/** @param {number} seconds @returns {string} "0:12" */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor((Number.isFinite(seconds) ? seconds : 0) + 1e-6));
  const rest = String(whole % 60).padStart(2, '0'), minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`;
}

/** @param {number} seconds @returns {string} "0:12.3", for hovering and for the edges of a loop */
export function preciseClock(seconds) {
  const tenths = Math.max(0, Math.round(seconds * 10));
  return `${clock(tenths / 10)}.${tenths % 10}`;
}

/** @param {number} position @param {number} duration @returns {string} "0:12 of 1:00" */
export function clockOf(position, duration) { return `${clock(position)} of ${clock(duration)}`; }
