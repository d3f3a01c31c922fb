// The custom element <music-card>: a piece with its versions, one player for all of them, its score, its chips and its menu.
// The server writes the JSON in `data-card`; the element draws it once and then changes only what differs, so that the place,
// the chosen version and open parts stay as the user left them. `data-compact`: the player alone, for what the user added.
import {mayBegin} from './autoplay.js';
import {createActions} from './card_actions.js';
import {CardChoice} from './card_choice.js';
import {createHeader} from './card_header.js';
import {createCardPlayer} from './card_player.js';
import {createChips} from './chips.js';
import {createClip} from './clip_follower.js';
import {act} from './connection.js';
import {element} from './dom.js';
import {createMenu} from './menu.js';
import {createRoll} from './roll.js';
import {toast} from './toasts.js';
import {transport} from './transport.js';

const WIDE = 720;  // pixels from which names stand beside the time axis
const EMPTY_VERSION = {id: '', label: 'New music', url: '', seconds: 0, made: 0, complete: false, levels: '', actions: [], chips: [], downloads: []};

/** The card that was used last: a piece may be on several, as the result of one and as what another began with. */
let used = null;

class MusicCard extends HTMLElement {
  static observedAttributes = ['data-card'];
  /** The card as the server last sent it. */
  card = {versions: [], selected: null, clip: null};
  choice = new CardChoice();
  #parts = null;
  #resized = new ResizeObserver(() => this.#fit());

  get compact() { return this.hasAttribute('data-compact'); }

  /** The version in the foreground; null before there is one. */
  get version() { return this.card.versions.find(version => version.id === this.choice.id) ?? null; }

  connectedCallback() {
    if (!this.#parts) this.#build();
    if (this.dataset.card) this.#update();
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#resized.disconnect();
      for (const part of Object.values(this.#parts)) part?.destroy?.();
      this.#parts = null;
      if (transport.piece && this.has(transport.piece.id) && !cardWith(transport.piece.id)) transport.close();
    });
  }

  attributeChangedCallback() { if (this.isConnected && this.#parts) this.#update(); }

  /** @param {string} id of a piece @returns {boolean} whether it is one of the versions */
  has(id) { return this.card.versions.some(version => version.id === id); }

  /** Brings a version to the foreground, at the same place. @param {string} id */
  choose(id) {
    used = this;
    this.choice.choose(id);
    this.#switchSound();
    this.#draw();
  }

  /** Switches between the last two versions. */
  flip() { if (this.choice.other) this.choose(this.choice.other); }

  #build() {
    const place = className => this.appendChild(element('div', className));
    const run = async (name, fields) => {
      try { await act(name, fields); } catch (error) { toast(error.message); }
    };
    this.replaceChildren();
    this.#fit();
    this.#resized.observe(this);
    this.setAttribute('role', 'group');
    for (const name of ['pointerdown', 'focusin']) this.addEventListener(name, () => { used = this; });
    if (this.compact) {
      this.#parts = {title: place('card-file'), player: createCardPlayer(place('card-player'), EMPTY_VERSION, {transport})};
      return;
    }
    this.#parts = {
      header: createHeader(place('card-header'), {choose: id => this.choose(id), flip: () => this.flip(), run}),
      clip: null,
      clipPlace: place('card-clip'),
      player: createCardPlayer(place('card-player'), EMPTY_VERSION, {transport}),
      rollPlace: place('card-roll'),
      chips: createChips(place('card-chips'), EMPTY_VERSION, {act, toast}),
      actions: createActions(place('card-row'), {run}),
    };
    const parts = this.#parts;
    parts.menu = createMenu(parts.actions.home, EMPTY_VERSION, {act, toast});
    parts.roll = createRoll(parts.rollPlace, EMPTY_VERSION, {transport, act});
  }

  #fit() { this.classList.toggle('wide', !this.compact && this.offsetWidth >= WIDE); }

  #update() {
    this.card = JSON.parse(this.dataset.card);
    if (this.choice.follow(this.card)) this.#switchSound();
    const current = this.card.versions.find(version => version.id === transport.piece?.id);
    if (current && JSON.stringify(current) !== JSON.stringify(transport.piece)) transport.update(current);
    this.#draw();
    this.#begin();
  }

  /** What sounds of this card goes over into the version in the foreground. */
  #switchSound() {
    const {version} = this, playing = transport.piece;
    if (version && playing && playing.id !== version.id && (this.has(playing.id) || this.wasMine === playing.id)) transport.switchTo(version);
    if (version) this.wasMine = version.id;
  }

  #draw() {
    const version = this.version ?? EMPTY_VERSION, {header, title, player, rollPlace, roll, chips, menu, actions} = this.#parts;
    const name = version.title || version.label;
    this.setAttribute('aria-label', this.compact ? `Recording: ${name}` : `Music: ${name}`);
    this.classList.toggle('working', ['waiting', 'working'].includes(this.card.status));
    player.update(version);
    if (this.compact) { title.textContent = `\u266b ${name}`; return; }
    header.update(this.card, this.version);
    this.#drawClip();
    rollPlace.classList.toggle('none', !version.score && Boolean(this.closest('[data-recordings]')));
    roll.update(version, this.card);
    chips.update(version, this.card);
    menu.update(version);
    actions.update(this.card, this.version);
  }

  #drawClip() {
    if (!this.card.clip || this.#parts.clip) return;
    this.#parts.clip = createClip(this.#parts.clipPlace, this.card.clip, {transport, mine: () => Boolean(transport.piece) && this.has(transport.piece.id)});
  }

  /** Begins by itself if the server says so; music that still grows is loaded already, so that its wave grows, too. */
  #begin() {
    const {version, card} = this;
    if (this.compact || !version) return;
    if (card.autoplay && mayBegin(version.id)) {
      used = this;
      transport.load(version);
      transport.play();
    } else if (!version.complete && version.made > 0 && !transport.playing && transport.piece?.id !== version.id) {
      transport.load(version);
    }
  }
}

/** The card of a piece: the one used last, else a full one before a compact one. @param {string} id @returns {MusicCard | undefined} */
export function cardWith(id) {
  if (used?.isConnected && used.has(id)) return used;
  const cards = [...document.querySelectorAll('music-card')].filter(card => card.has(id));
  return cards.find(card => !card.compact) ?? cards[0];
}

customElements.define('music-card', MusicCard);
