// Starts the player of the page: the cards, the bar at the foot and the keys, all on one transport.
import {listenToKeys} from './keys.js';
import {cardWith} from './music_card.js';
import {createPlayerBar} from './player_bar.js';
import {transport} from './transport.js';

/**
 * @param {HTMLElement} barPlace @param {(id: string) => void} reveal scrolls to the card of a piece
 */
export function startPlayer(barPlace, reveal) {
  createPlayerBar(barPlace, {transport, reveal});
  listenToKeys({transport, flip: () => cardWith(transport.piece.id)?.flip()});
}
