// The time axis under a wave, with round times.
import {clock} from './time_format.js';

const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600];  // seconds
const ROOM = 58;  // pixels between two labels
const LABEL = 40;  // pixels of a label itself, which is not written where it would be cut off

/** @param {HTMLElement} container @returns {{draw(duration: number, width: number): void}} */
export function createAxis(container) {
  const axis = document.createElement('div');
  axis.className = 'wave-axis';
  axis.setAttribute('aria-hidden', 'true');
  axis.title = 'Drag here to repeat a passage';
  container.append(axis);
  let drawn = '';
  return {
    draw(duration, width) {
      const step = stepOf(duration, width), key = `${step} ${duration} ${width}`;
      if (key === drawn) return;
      drawn = key;
      axis.replaceChildren(...timesOf(duration, step).map(seconds => {
        const mark = document.createElement('span');
        mark.style.setProperty('--at', String(seconds / duration));
        const isWhole = width * (1 - seconds / duration) >= LABEL;
        mark.textContent = Number.isInteger(seconds) && isWhole ? clock(seconds) : '';
        return mark;
      }));
    },
  };
}

/** @param {number} duration seconds @param {number} width pixels @returns {number} seconds between two labels */
export function stepOf(duration, width) { return STEPS.find(step => duration / step <= width / ROOM) ?? 1200; }

function timesOf(duration, step) {
  if (!duration) return [];
  return Array.from({length: Math.floor(duration / step) + 1}, (_, index) => index * step);
}
