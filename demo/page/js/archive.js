// Takes all pieces of the library home as one archive, and says what it lacks.
import {startDownload, troubleOf} from './menu.js';

const NAME = 'mumu-llama-pieces.zip';

/**
 * @param {string} url of the archive
 * @param {(text: string) => void} tell called with a sentence about what is refused or left out
 */
export async function takeArchiveHome(url, tell) {
  const head = await fetch(url, {method: 'HEAD'}).catch(() => null);
  if (!head?.ok) {
    tell(await troubleOf(url));
    return;
  }
  startDownload({url, name: NAME});
  const leftOut = decodeURIComponent(head.headers.get('X-Left-Out') ?? '');
  if (leftOut) tell(leftOut);
}
