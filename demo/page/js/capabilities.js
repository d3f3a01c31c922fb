// The chips of the empty page: those that are chosen become one request in the message box, which the user can change and send.

const ORDER = ['style', 'lead', 'accompaniment', 'key', 'tempo', 'metre', 'drums'];

/**
 * @param {HTMLElement} container with the chips that the server wrote (demo/page/capabilities.py)
 * @param {{read: () => string, write: (text: string) => void}} box the message box
 * @returns {{update: () => void, destroy: () => void}} update: takes the choice back once the message has been sent or rewritten
 */
export function createCapabilities(container, {read, write}) {
  const buttons = [...container.querySelectorAll('button[data-slot]')];
  let written = '';

  function chosen() {
    const pressed = buttons.filter(button => button.getAttribute('aria-pressed') === 'true');
    return ORDER.flatMap(slot => pressed.filter(button => button.dataset.slot === slot));
  }

  function choose(button) {
    update();
    const on = button.getAttribute('aria-pressed') !== 'true';
    for (const other of buttons) if (other.dataset.slot === button.dataset.slot) other.setAttribute('aria-pressed', 'false');
    button.setAttribute('aria-pressed', String(on));
    const sentence = wishSentence(chosen()), typed = read();
    // What the user typed stays: the sentence replaces itself, and comes after other words.
    const before = written && typed.endsWith(written) ? typed.slice(0, typed.length - written.length) : typed && `${typed.trimEnd()} `;
    written = sentence;
    write(before + sentence);
  }

  function update() {
    if (!written || read().includes(written)) return;
    written = '';
    for (const button of buttons) button.setAttribute('aria-pressed', 'false');
  }

  function onClick(event) {
    const button = event.target.closest('button[data-slot]');
    if (button) choose(button);
  }

  container.addEventListener('click', onClick);
  return {update, destroy: () => container.removeEventListener('click', onClick)};
}

/**
 * The request of chosen chips, such as "A swing tune on the violin in E minor at 90 bpm"; empty for none.
 * @param {HTMLElement[]} chips in the order of the sentence
 */
export function wishSentence(chips) {
  if (!chips.length) return '';
  const style = chips[0].dataset.slot === 'style' ? chips[0].dataset.words : 'piece';
  const rest = chips.filter(chip => chip.dataset.slot !== 'style').map(chip => chip.dataset.words);
  return [/^[aeiou]/.test(style) ? 'An' : 'A', style, ...rest].join(' ');
}
