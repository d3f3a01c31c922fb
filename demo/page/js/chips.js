// The chips of a card: what the piece is, each a menu of what it can become, and the commonest next change one click away.
import {createPopupMenu} from './popup_menu.js';
import {watchEnds} from './scroll_ends.js';

const ROW = [  // chips in their order: name, groups of suggestions in its menu, whether the first one has a button of its own
  {name: 'Tempo', groups: ['tempo'], quick: true, value: facts => `${facts.tempo} bpm`},
  {name: 'Key', groups: ['mode', 'key'], quick: true, value: facts => facts.key},
  {name: 'Melody', groups: ['lead'], value: facts => facts.lead},
  {name: 'Style', groups: ['style'], value: facts => facts.style},
  {name: 'Metre', groups: ['metre'], value: facts => facts.metre},
  {name: 'Parts', groups: ['parts'], value: facts => (facts.drums ? 'drums' : 'no drums'), recording: 'Vary it'},
  {name: 'Length', groups: ['length'], value: facts => counted(facts.bars, 'bar'), recording: 'Go on'},
];
const HEADINGS = {mode: 'Mode', key: 'Key'};
const ONE_LINE = 940, TWO_LINES = 600;  // pixels of the row from which all chips fit, whatever their words are
const UNDO_SECONDS = 8;
const BEGIN = 3000;  // milliseconds in which a card says that its change is made, or it has failed between two states of the page

/**
 * Row of chips of a version of a piece.
 * @param {HTMLElement} container
 * @param {object} version of a card (contract of demo/page/card.py)
 * @param {{act: (name: string, fields: object) => Promise<object>, toast: (text: string, action?: object) => void}} page
 * @returns {{update: (version: object, card?: {status: string}) => void, destroy: () => void}}
 */
export function createChips(container, version, {act, toast}) {
  const row = document.createElement('div');
  row.className = 'chips';
  row.setAttribute('role', 'group');
  row.setAttribute('aria-label', 'Change this piece');
  container.append(row);
  // The width alone decides on the lines, and not the words: the card has its height before it has its chips.
  function fitLines() {
    const width = container.clientWidth, isRecording = Boolean(row.closest('[data-recordings]'));
    row.dataset.lines = width >= ONE_LINE || isRecording ? 'one' : width >= TWO_LINES ? 'two' : 'scroll';
  }
  const resized = new ResizeObserver(fitLines);
  resized.observe(container);
  fitLines();
  const ends = watchEnds(row);
  let shown = '', menus = [], pending = null, siblings = [version];

  async function change(chip) {
    if (pending) return;
    const known = new Set(siblings.map(sibling => sibling.id));
    const asked = pending = {piece: version.id, facts: version.facts, label: chip.label, known, begun: false};
    setBusy(true);
    try {
      await act('edit', {piece: version.id, edit: chip.edit});
      setTimeout(() => { if (pending === asked && !asked.begun) finish(); }, BEGIN);
    } catch (error) {
      finish();
      toast(error.message);
    }
  }

  function finish() {
    pending = null;
    setBusy(false);
  }

  function setBusy(busy) {
    row.setAttribute('aria-busy', String(busy));
    for (const button of row.querySelectorAll('button')) button.setAttribute('aria-disabled', String(busy));
  }

  // The new version comes with the page's state: it is the one whose parent was edited.
  function update(next, card) {
    version = next;
    siblings = card?.versions ?? [version];
    const ready = version.complete && !version.undone;
    if (pending) {
      const made = siblings.find(sibling => sibling.complete && sibling.parent === pending.piece && !pending.known.has(sibling.id));
      const running = !card || ['waiting', 'working'].includes(card.status);
      pending.begun ||= running && Boolean(card);
      if (made) tellChange(made);
      else if (!running && (pending.begun || card.status !== 'done')) finish();  // it failed or was stopped, and the card says why
    }
    const wanted = JSON.stringify([version.id, ready, version.facts, version.chips]);
    if (wanted !== shown && (ready || !pending)) {  // the chips stay while the next version is made
      draw(ready ? version.chips ?? [] : []);
      shown = wanted;
    }
    setBusy(Boolean(pending));
  }

  function tellChange({id, facts}) {
    const words = changeWords(pending, facts);
    finish();
    toast(words, {label: 'Undo', seconds: UNDO_SECONDS, run: () => act('undo', {piece: id})});
  }

  function draw(chips) {
    const focused = row.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    for (const menu of menus) menu.destroy();
    menus = [];
    row.replaceChildren();
    for (const slot of ROW) {
      const choices = slot.groups.flatMap(group => chips.filter(chip => chip.group === group));
      if (choices.length) row.append(drawSlot(slot, choices));
    }
    if (chips.length && version.facts) row.append(moreButton());
    if (focused) row.querySelector(`[data-name="${focused}"]`)?.focus({preventScroll: true});
    ends.update();
  }

  function drawSlot(slot, choices) {
    const holder = document.createElement('span'), value = version.facts ? slot.value(version.facts) : slot.recording ?? slot.name;
    holder.className = 'chip-slot';
    const button = chipButton(slot.name, value, version.facts ? `${slot.name}: ${value}` : value);
    button.classList.add('chip-menu');
    holder.append(button);
    const several = new Set(choices.map(chip => chip.group)).size > 1;
    menus.push(createPopupMenu(button, {
      label: `${slot.name}: change to`,
      items: () => choices.map(chip => ({
        label: chip.label, hint: chip.hint, group: several ? HEADINGS[chip.group] : undefined, run: () => change(chip),
      })),
    }));
    if (slot.quick) holder.append(quickButton(slot, choices[0]));
    return holder;
  }

  function quickButton(slot, chip) {
    const button = chipButton(`${slot.name} next`, chip.label.replace(' bpm', ''), `${slot.name}: ${chip.label}, ${chip.hint}`);
    button.classList.add('chip-quick');
    button.title = chip.hint;
    button.addEventListener('click', () => change(chip));
    return button;
  }

  function moreButton() {
    const button = chipButton('More', 'More\u2026', 'More changes of this piece');
    button.classList.add('chip-more');
    button.addEventListener('click', () => {
      row.dispatchEvent(new CustomEvent('open-edit-form', {bubbles: true, detail: {piece: version.id}}));
    });
    return button;
  }

  update(version);
  return {
    update,
    destroy() {
      resized.disconnect();
      ends.destroy();
      for (const menu of menus) menu.destroy();
      row.remove();
    },
  };
}

function chipButton(name, text, label) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'chip';
  button.dataset.name = name;
  button.textContent = text;
  button.setAttribute('aria-label', label);
  return button;
}

/**
 * What an edit changed, such as "120 → 130 bpm".
 * @param {{facts: object|null, label: string}} before
 * @param {object|null} after facts of the new version
 */
export function changeWords({facts, label}, after) {
  if (!facts || !after) return label;
  const arrow = (from, to, unit = '') => `${from} \u2192 ${to}${unit}`;
  const words = [];
  if (facts.tempo !== after.tempo) words.push(arrow(facts.tempo, after.tempo, ' bpm'));
  for (const name of ['key', 'metre', 'lead', 'style']) if (facts[name] !== after[name]) words.push(arrow(facts[name], after[name]));
  if (facts.drums !== after.drums) words.push(after.drums ? 'With drums' : 'Without drums');
  if (facts.bars !== after.bars) words.push(arrow(facts.bars, after.bars, ' bars'));
  return words.join(', ') || label;
}

function counted(count, noun) { return `${count} ${noun}${count === 1 ? '' : 's'}`; }
