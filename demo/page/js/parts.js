// The names of the parts beside their rows, each with mute and solo. The transport plays what is left of them.
import {element, listenTo} from './dom.js';

/**
 * @param {HTMLElement} container a row a part, as high as the rows of the notes
 * @param {{transport: import('./transport.js').Transport, current: () => boolean, makeCurrent: () => void}} page
 * @returns {{update(parts: import('./score_data.js').Part[], stems: Record<string, string> | null): void, isSilent(name: string): boolean,
 *   destroy(): void}} stems: of the parts that can be had apart; the others have no buttons
 */
export function createParts(container, {transport, current, makeCurrent}) {
  container.className = 'roll-parts';
  let buttons = [];

  const sets = () => (current() ? transport.parts : {muted: new Set(), solo: new Set()});

  function toggle(kind, name) {
    makeCurrent();
    const next = {muted: new Set(transport.parts.muted), solo: new Set(transport.parts.solo)};
    if (!next[kind].delete(name)) next[kind].add(name);
    transport.setParts(next);
  }

  function rowOf(part, stems) {
    const row = element('div', 'roll-part'), names = element('span', 'roll-names');
    row.dataset.part = part.name;
    names.append(element('b', '', capital(part.name)));
    if (part.label !== part.name) names.append(element('span', '', part.label));
    row.append(names);
    if (!stems?.[part.name]) return row;
    for (const [kind, letter, verb] of [['muted', 'M', 'Mute'], ['solo', 'S', 'Solo']]) {
      const button = element('button', 'roll-switch', letter), label = `${verb} ${part.name}`;
      Object.assign(button, {type: 'button', title: label});
      button.setAttribute('aria-label', label);
      button.addEventListener('click', () => toggle(kind, part.name));
      buttons.push({button, kind, name: part.name});
      row.append(button);
    }
    return row;
  }

  function isSilent(name) {
    const {muted, solo} = sets();
    return muted.has(name) || (solo.size > 0 && !solo.has(name));
  }

  function draw() {
    for (const {button, kind, name} of buttons) button.setAttribute('aria-pressed', String(sets()[kind].has(name)));
    for (const row of container.children) row.classList.toggle('silent', isSilent(row.dataset.part));
  }

  const stop = listenTo(transport, {parts: draw, piece: draw});
  return {
    update(parts, stems) {
      const focused = container.contains(document.activeElement) ? document.activeElement.getAttribute('aria-label') : '';
      buttons = [];
      container.replaceChildren(...parts.map(part => rowOf(part, stems)));
      draw();
      if (focused) buttons.find(({button}) => button.getAttribute('aria-label') === focused)?.button.focus({preventScroll: true});
    },
    isSilent,
    destroy: stop,
  };
}

function capital(name) { return name[0].toUpperCase() + name.slice(1); }
