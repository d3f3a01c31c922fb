// Buttons and signs that the player's parts share. The signs are drawn here: fonts of some systems turn characters into emoji.

const SHAPES = {
  play: 'M7 4.5v15l13-7.5z',
  pause: 'M6 5h4v14H6zM14 5h4v14h-4z',
  loop: 'M7 7h9v-3l5 4.5-5 4.5v-3H8v4H5V9a2 2 0 0 1 2-2zM17 17H8v3l-5-4.5L8 11v3h8v-1.500h3V15a2 2 0 0 1-2 2z',
  close: 'M6.400 5 12 10.600 17.600 5 19 6.400 13.400 12 19 17.600 17.600 19 12 13.400 6.400 19 5 17.600 10.600 12 5 6.400z',
  volume: 'M4 9v6h4l5 4.500v-15L8 9zM15.500 8.500a5 5 0 0 1 0 7l1.400 1.400a7 7 0 0 0 0-9.800z',
  muted: 'M4 9v6h4l5 4.500v-15L8 9zM15 9.400l1.400-1.400 2.100 2.100L20.600 8 22 9.400 19.900 11.500 22 13.600 20.600 15l-2.100-2.100L16.400 15 15 13.600l2.100-2.100z',
  star: 'M12 3.500l2.600 5.300 5.900.9-4.300 4.100 1 5.800L12 16.900l-5.200 2.700 1-5.800L3.500 9.700l5.900-.9z',
};

/** @param {keyof typeof SHAPES} name @returns {SVGElement} hidden from screen readers: its button has a label */
export function icon(name) {
  const space = 'http://www.w3.org/2000/svg', picture = document.createElementNS(space, 'svg'), path = document.createElementNS(space, 'path');
  for (const [key, value] of Object.entries({viewBox: '0 0 24 24', class: `icon ${name}`, 'aria-hidden': 'true', focusable: 'false'})) picture.setAttribute(key, value);
  path.setAttribute('d', SHAPES[name]);
  picture.append(path);
  return picture;
}

/** A button with a sign instead of a text. @param {string} className @param {string} label @param {...Node} content */
export function labelledButton(className, label, ...content) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = className;
  button.setAttribute('aria-label', label);
  button.title = label;
  button.append(...content);
  return button;
}

/** A button with a text. @param {string} className @param {string} text @param {() => void} run */
export function textButton(className, text, run) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = className;
  button.textContent = text;
  button.addEventListener('click', run);
  return button;
}
