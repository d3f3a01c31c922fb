// The states of a session as the server gives them: a stream of them, or one for a question.

const PATIENCE = 10_000;  // milliseconds for an answer: a network that is gone may not say so

/** The server does not give a state; `status` says why. */
export class StateRefused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function get(path, signal) {
  const response = await fetch(path, {signal, cache: 'no-store'});
  if (!response.ok) throw new StateRefused(response.status, (await response.json().catch(() => ({}))).error ?? '');
  return response;
}

/**
 * @param {string} token of the session
 * @param {number} since version that is known; 0: none
 * @param {AbortSignal} signal
 * @returns {Promise<object | null>} what has changed; null for nothing
 */
export async function askForState(token, since, signal) {
  const question = new AbortController(), end = () => question.abort(), timer = setTimeout(end, PATIENCE);
  signal.addEventListener('abort', end);
  try {
    signal.throwIfAborted();
    const response = await get(`page/${token}/state?since=${since}`, question.signal);
    return response.status === 204 ? null : await response.json();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}

/**
 * The states of a stream until it ends; null for a sign of life. Events are separated by an empty line.
 * @param {string} token of the session
 * @param {number} since version that is known; 0: none
 * @param {AbortSignal} signal
 */
export async function* streamStates(token, since, signal) {
  const response = await get(`page/${token}/events?since=${since}`, signal);
  const reader = response.body.getReader(), decoder = new TextDecoder();
  yield null;
  for (let buffer = '';;) {
    const {value, done} = await reader.read();
    if (done || signal.aborted) return;
    yield null;
    buffer += decoder.decode(value, {stream: true}).replaceAll('\r', '');
    for (let end; (end = buffer.indexOf('\n\n')) >= 0; buffer = buffer.slice(end + 2)) {
      const data = buffer.slice(0, end).split('\n').filter(line => line.startsWith('data:')).map(line => line.slice(5).trimStart());
      if (data.length) yield JSON.parse(data.join('\n'));
    }
  }
}
