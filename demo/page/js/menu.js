// The take-home menu of a card: every form in which a piece can be had, with what it is for. Most are made when they are asked for.
import {createPopupMenu} from './popup_menu.js';

const GROUPS = {  // form -> heading
  wav: 'Sound', mp3: 'Sound', flac: 'Sound', loop: 'Sound', stems: 'Sound',
  midi: 'Notes', musicxml: 'Notes', chords: 'Notes', all: '',  // its label says it
};

/**
 * Button "Take home" and its menu.
 * @param {HTMLElement} container
 * @param {object} version of a card (contract of demo/page/card.py)
 * @param {{toast?: (text: string) => void}} page
 * @returns {{update: (version: object) => void, destroy: () => void}}
 */
export function createMenu(container, version, {toast} = {}) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'take-home';
  button.textContent = 'Take home';
  const status = document.createElement('span');
  status.className = 'take-home-status';
  status.setAttribute('role', 'status');
  container.append(button, status);
  const menu = createPopupMenu(button, {label: 'Take this piece home', items: () => ordered(version.downloads).map(menuItem)});

  function menuItem(download) {
    return {
      label: download.label, hint: download.hint, group: GROUPS[download.form] ?? 'Sound', href: download.url, download: download.name,
      run: () => save(download),
    };
  }

  // The server makes the file at the first request for it, and refuses in a sentence: a bare link would save that sentence, or nothing.
  async function save(download) {
    status.textContent = `Preparing ${download.label}\u2026`;
    button.setAttribute('aria-busy', 'true');
    try {
      const trouble = await troubleOf(download.url);
      if (trouble) tell(trouble);
      else startDownload(download);
      if (!trouble) status.textContent = '';
    } finally {
      button.removeAttribute('aria-busy');
    }
  }

  function tell(sentence) {
    status.textContent = toast ? '' : sentence;
    toast?.(sentence);
  }

  function update(next) {
    version = next;
    button.hidden = !version.complete || !version.downloads?.length;
    button.setAttribute('aria-label', `Take home ${version.title || version.label || 'this piece'}`);
  }

  update(version);
  return {
    update,
    destroy() {
      menu.destroy();
      button.remove();
      status.remove();
    },
  };
}

/** Downloads in the order of GROUPS, so that each heading stands once. */
function ordered(downloads) {
  const order = Object.keys(GROUPS);
  return [...downloads].sort((a, b) => order.indexOf(a.form) - order.indexOf(b.form));
}

/**
 * Why a file cannot be had, in a sentence; empty if it can. The server makes the file for this question.
 * @param {string} url
 * @returns {Promise<string>}
 */
export async function troubleOf(url) {
  const unreachable = 'The server cannot be reached; check the connection and try again.';
  const head = await fetch(url, {method: 'HEAD'}).catch(() => null);
  if (!head) return unreachable;
  if (head.ok) return '';
  const answer = await fetch(url).catch(() => null);
  if (answer?.ok) return '';
  const body = await answer?.json().catch(() => null);
  return body?.detail || body?.error || `The file could not be made (status ${head.status}); try again.`;
}

/** Saves what is at a URL under a name. */
export function startDownload({url, name}) {
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.hidden = true;
  document.body.append(link);
  link.click();
  link.remove();
}
