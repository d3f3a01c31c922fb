// Which version of a card is in the foreground: the user's choice stays until the server puts another one forward, such as the
// result of an edit.

/**
 * @typedef {{id: string, kind: string, kept: boolean, undone: boolean}} Version
 */
export class CardChoice {
  /** @type {string | null} */ id = null;
  /** @type {string | null} */ previous = null;  // chosen before; A/B goes back to it
  #selected = null;  // the server's own choice, as it last was
  #ids = [];

  /** Follows a newer card. @param {{selected: string | null, versions: Version[]}} card @returns {boolean} whether the choice changed */
  follow(card) {
    const ids = card.versions.map(version => version.id), before = this.id;
    if (card.selected !== this.#selected && ids.includes(card.selected)) this.choose(card.selected);
    else if (!ids.includes(this.id)) this.#replace(ids);
    if (!ids.includes(this.previous)) this.previous = null;
    this.#selected = card.selected;
    this.#ids = ids;
    return this.id !== before;
  }

  /** A version that has gone was replaced by the one at its place: a stopped take gets a new file. */
  #replace(ids) {
    const place = Math.max(0, this.#ids.indexOf(this.id));
    this.id = ids[Math.min(place, ids.length - 1)] ?? null;
  }

  /** @param {string} id */
  choose(id) {
    if (id === this.id) return;
    this.previous = this.id;
    this.id = id;
  }

  /** The version that A/B goes to: the one before, else its neighbour in the card; null if there is only one. */
  get other() {
    if (this.previous) return this.previous;
    const place = this.#ids.indexOf(this.id);
    return this.#ids[place - 1] ?? this.#ids[place + 1] ?? null;
  }
}

/** Takes that fold away because another one was kept. @param {Version[]} versions @returns {Set<string>} their ids */
export function foldedIds(versions) {
  const kept = versions.some(version => version.kind === 'take' && version.kept);
  return new Set(kept ? versions.filter(version => version.kind === 'take' && !version.kept).map(version => version.id) : []);
}
