// The conversation. gradio passes one HTML string per exchange. The DOM is patched and not replaced, so that a player keeps
// playing and an open disclosure stays open while the answer grows.
const log = element.querySelector('.log');
const USER_ATTRIBUTES = {DETAILS: ['open'], VIDEO: ['controls']};  // set by the user or the browser: not removed by an update

function keyOf(node) { return node.nodeType === 1 ? node.dataset.key : undefined; }

function isSameNode(a, b) { return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b); }

function patchAttributes(current, updated) {
  const preserved = USER_ATTRIBUTES[current.nodeName] || [];
  for (const {name} of [...current.attributes]) {
    if (!updated.hasAttribute(name) && !preserved.includes(name)) current.removeAttribute(name);
  }
  for (const {name, value} of [...updated.attributes]) {
    if (current.getAttribute(name) !== value) current.setAttribute(name, value);
  }
}

// A playing player keeps its source until it pauses or ends; then it continues in the finished file, which is seekable.
function patchPlayer(current, updated) {
  const url = updated.getAttribute('src');
  if (updated.hasAttribute('data-start') && !current.dataset.begun) current.dataset.start = '1';
  if (current.getAttribute('src') === url) { delete current.dataset.next; return; }
  if (!current.paused && !current.ended) { current.dataset.next = url; return; }
  changeSource(current, url);
}

function changeSource(player, url) {
  const seconds = player.ended ? 0 : player.currentTime;
  delete player.dataset.next;
  player.src = url;
  if (seconds) player.addEventListener('loadedmetadata', () => { player.currentTime = seconds; }, {once: true});
}

function patchNode(current, updated) {
  if (current.nodeType === 3) { if (current.data !== updated.data) current.data = updated.data; return; }
  if (current.nodeType !== 1) return;
  if (current.nodeName === 'AUDIO') { patchPlayer(current, updated); return; }
  if (current.classList.contains('wave')) {
    const position = current.style.getPropertyValue('--at');
    patchAttributes(current, updated);
    if (position) current.style.setProperty('--at', position);
    return;
  }
  patchAttributes(current, updated);
  patchChildren(current, updated);
}

// Keyed elements are looked up among their siblings and never moved: moving an audio element stops it.
function patchChildren(current, updated) {
  let cursor = current.firstChild;
  function removeAtCursor() { const node = cursor; cursor = cursor.nextSibling; node.remove(); }
  for (const next of [...updated.childNodes]) {
    let match = cursor;
    if (keyOf(next)) while (match && keyOf(match) !== keyOf(next)) match = match.nextSibling;
    if (match && isSameNode(match, next)) {
      while (cursor !== match) removeAtCursor();
      patchNode(match, next);
      cursor = match.nextSibling;
    } else if (cursor && !keyOf(cursor) && !keyOf(next)) {
      const replaced = cursor;
      cursor = cursor.nextSibling;
      replaced.replaceWith(next);
    } else {
      current.insertBefore(next, cursor);
    }
  }
  while (cursor) removeAtCursor();
}

function startPlayers() {
  for (const player of log.querySelectorAll('audio[data-start]')) {
    player.removeAttribute('data-start');
    player.dataset.begun = '1';  // autoplay only once, however often the answer is updated
    player.play().catch(() => {});  // rejected if the browser requires a click first; the user can press play
  }
}

function render() {
  const views = props.value || [];
  const previousCount = log.childElementCount;
  const updated = document.createElement('template');  // inert: its images and media are not loaded
  updated.innerHTML = views.join('');
  patchChildren(log, updated.content);
  element.classList.toggle('begun', views.length > 0);
  const examples = document.querySelector('#examples details');
  if (examples && views.length !== previousCount) examples.open = views.length === 0;
  startPlayers();
  announceAnswer();
  tellTrouble('');
  if (views.length > previousCount) {
    log.lastElementChild.scrollIntoView({behavior: reducedMotion() ? 'auto' : 'smooth', block: 'start'});
  }
}

// Screen readers read the status region when its text changes: once per finished answer. A new message empties it, so that
// the same answer is read again.
function announceAnswer() {
  const text = log.lastElementChild?.dataset.announcement || '', status = element.querySelector('.announcement');
  if (status.textContent !== text) status.textContent = text;
}

function reducedMotion() { return matchMedia('(prefers-reduced-motion: reduce)').matches; }

function playTogether(takes) {
  const clip = takes.querySelector('video'), music = takes.querySelector('.take:not(.clip):not(.before) audio');
  if (!clip || !music) return;
  clip.muted = true;
  clip.currentTime = 0;
  music.currentTime = 0;
  together = [clip, music];
  Promise.all([clip.play(), music.play()]).catch(() => {});
}
let together = [];

element.addEventListener('click', event => {
  const button = event.target.closest('button[data-act]');
  if (button) {
    const {act, exchange, take} = button.dataset;
    if (act === 'together') playTogether(button.closest('.takes'));
    else trigger('again', {exchange: Number(exchange), take: Number(take), fresh: act === 'another'});
    return;
  }
  const wave = event.target.closest('.wave');
  if (wave) {
    const player = wave.parentElement.querySelector('audio'), box = wave.getBoundingClientRect();
    if (Number.isFinite(player.duration)) player.currentTime = player.duration * (event.clientX - box.left) / box.width;
    player.play().catch(() => {});
  }
});

// Media events do not bubble, so these listeners use the capture phase.
element.addEventListener('play', event => {
  event.target.dataset.begun = '1';
  for (const other of document.querySelectorAll('audio, video')) {
    const pair = together.includes(other) && together.includes(event.target);
    if (other !== event.target && !pair && !other.paused) other.pause();
  }
}, true);
for (const name of ['timeupdate', 'seeking', 'ended']) {
  element.addEventListener(name, event => {
    const player = event.target, wave = player.parentElement.querySelector('.wave');
    if (wave) wave.style.setProperty('--at', `${100 * player.currentTime / (player.duration || 1)}%`);
  }, true);
}
for (const name of ['pause', 'ended']) {
  element.addEventListener(name, event => {
    if (event.target.dataset.next) changeSource(event.target, event.target.dataset.next);
    if (together.includes(event.target)) for (const player of together) player.pause();
  }, true);
}

// Presence: the server deletes the files of a closed page at once, and of a silent one after a timeout.
function sendPresence(status) {
  const token = log.lastElementChild?.dataset.session;
  if (token) navigator.sendBeacon(`page/${token}/${status}`);
}
setInterval(() => sendPresence('here'), 30000);
addEventListener('online', () => sendPresence('here'));
document.addEventListener('visibilitychange', () => { if (!document.hidden) sendPresence('here'); });
addEventListener('pagehide', event => { if (!event.persisted) sendPresence('gone'); });

// Says so when this page cannot reach its server, and what to do: gradio stays silent, or says only that it tries again. The next
// answer of the server takes the sentence back; after a lost connection gradio loads the page anew.
const plainFetch = window.fetch.bind(window);
let trouble = '';

function tellTrouble(text) {
  const note = element.querySelector('.note');
  if (text || note.textContent === trouble) note.textContent = text;
  trouble = text;
}

function troubleOf(url, status) {
  const here = new URL('.', location.href);
  if (url.host !== here.host) return `This page looks for its server at ${url.host}; the proxy in front has to send X-Forwarded-Host.`;
  if (!status || status === 502 || status === 504) {
    return 'This page cannot reach its server; check the connection, or wait until the server is back, and send again.';
  }
  if (status === 403) return 'The server refuses this page; the proxy in front has to send the X-Forwarded-Host that the browser uses.';
  if (status !== 404 && status !== 405) return '';
  const advice = here.pathname === '/' ? 'load the page again' : `start it with --root_path ${here.pathname.slice(0, -1)}`;
  return `The server does not answer at the address of this page (status ${status}); ${advice}.`;
}

window.fetch = async function(...request) {
  const url = new URL(request[0]?.url ?? request[0], location.href);
  if (!/\/gradio_api\/(queue|run|upload|heartbeat)\b/.test(url.pathname)) return plainFetch(...request);
  try {
    const response = await plainFetch(...request);
    tellTrouble(troubleOf(url, response.status));
    return response;
  } catch (error) {
    if (error.name !== 'AbortError') tellTrouble(troubleOf(url, 0));
    throw error;
  }
};

// The stream of an answer ends without a word when the server stops: while one is under way, the server is asked, too.
setInterval(async () => {
  const token = log.lastElementChild?.dataset.session;
  if (!token || !log.querySelector('[aria-busy]')) return;
  const status = await plainFetch(`page/${token}/here`, {method: 'POST'}).then(response => response.status, () => 0);
  if (status === 204 && !trouble) return;
  const back = 'The server answers again; if this answer does not go on, load the page again.';
  tellTrouble(status === 204 ? back : troubleOf(new URL(location.href), status));
}, 5000);

// Explains why there is no microphone: gradio's button fails silently.
async function microphoneError() {
  if (!navigator.mediaDevices) return 'Browsers lend the microphone only to https and to pages of this machine; add a recording as a file.';
  const devices = await navigator.mediaDevices.enumerateDevices();
  if (!devices.some(device => device.kind === 'audioinput')) return 'No microphone was found; plug one in, or add a recording as a file.';
  const permission = await navigator.permissions?.query({name: 'microphone'}).catch(() => null);
  return permission?.state === 'denied' ? 'The browser does not lend this page the microphone; allow it, or add a recording as a file.' : '';
}
document.addEventListener('click', event => {
  if (!event.target.closest('#box .microphone-button, #box [data-testid=microphone-button]')) return;
  microphoneError().then(text => { element.querySelector('.note').textContent = text; });
}, true);

// Accessible names: gradio hides the label of its input, gives buttons an aria-label that differs from their text, marks
// uploaded files as list items without a list, and has images in its footer that repeat the text beside them.
function setAttributes(selector, name, value) {
  for (const target of document.querySelectorAll(selector)) {
    const text = value ?? target.textContent.trim();
    if (target.getAttribute(name) !== text) target.setAttribute(name, text);
  }
}
new MutationObserver(() => {
  setAttributes('#box textarea', 'aria-label', 'Your message');
  setAttributes('#box .input-row :is(.submit-button, .stop-button)', 'aria-label');
  setAttributes('#box .recording-overlay .stop-button', 'aria-label', 'Stop recording');
  setAttributes('#box .thumbnail-wrapper', 'role', 'group');
  setAttributes('footer img', 'alt', '');
}).observe(document.body, {childList: true, subtree: true});

// Returns the focus to the input after a click on a control that disappears. Not after a tap: a phone would open its keyboard.
document.addEventListener('click', event => {
  if (!event.target.closest('#box .input-row :is(.submit-button, .stop-button), #clear, #examples button')) return;
  if (event.detail && !matchMedia('(pointer: fine)').matches) return;
  document.querySelector('#box textarea')?.focus({preventScroll: true});
});

watch('value', render);
render();
