// The log of the conversation. gradio hands over one string of HTML an exchange; what is already there stays there, so that a
// player goes on sounding and an open disclosure stays open while the answer around it grows.
const log = element.querySelector('.log');
const KEPT = {DETAILS: ['open'], VIDEO: ['controls'], DIV: []};

function keyOf(node) { return node.nodeType === 1 ? node.dataset.key : undefined; }

function alike(a, b) { return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b); }

function attributes(old, now) {
  const kept = KEPT[old.nodeName] || [];
  for (const {name} of [...old.attributes]) {
    if (!now.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const {name, value} of [...now.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

// A player that sounds keeps its source until it pauses or ends; then it goes on in the finished file, which can be wound.
function source(old, now) {
  const next = now.getAttribute('src');
  if (now.hasAttribute('data-start') && !old.dataset.begun) old.dataset.start = '1';
  if (old.getAttribute('src') === next) { delete old.dataset.next; return; }
  if (!old.paused && !old.ended) { old.dataset.next = next; return; }
  exchange(old, next);
}

function exchange(player, next) {
  const at = player.ended ? 0 : player.currentTime;
  delete player.dataset.next;
  player.src = next;
  if (at) player.addEventListener('loadedmetadata', () => { player.currentTime = at; }, {once: true});
}

function patch(old, now) {
  if (old.nodeType === 3) { if (old.data !== now.data) old.data = now.data; return; }
  if (old.nodeType !== 1) return;
  if (old.nodeName === 'AUDIO') { source(old, now); return; }
  if (old.classList.contains('wave')) {
    const at = old.style.getPropertyValue('--at');
    attributes(old, now);
    if (at) old.style.setProperty('--at', at);
    return;
  }
  attributes(old, now);
  children(old, now);
}

// Keyed elements are found wherever they stand among their siblings and are never moved: a moved player falls silent.
function children(old, now) {
  let here = old.firstChild;
  for (const next of [...now.childNodes]) {
    let found = here;
    if (keyOf(next)) while (found && keyOf(found) !== keyOf(next)) found = found.nextSibling;
    if (found && alike(found, next)) {
      while (here !== found) { const gone = here; here = here.nextSibling; gone.remove(); }
      patch(found, next);
      here = found.nextSibling;
    } else if (here && !keyOf(here) && !keyOf(next)) {
      const gone = here;
      here = here.nextSibling;
      gone.replaceWith(next);
    } else {
      old.insertBefore(next, here);
    }
  }
  while (here) { const gone = here; here = here.nextSibling; gone.remove(); }
}

function begin() {
  for (const player of log.querySelectorAll('audio[data-start]')) {
    player.removeAttribute('data-start');
    player.dataset.begun = '1';  // once, however often the answer around it grows
    player.play().catch(() => {});  // the browser wants a click first; the player's own button is there
  }
}

function render() {
  const views = props.value || [];
  const before = log.childElementCount;
  const now = document.createElement('template');  // nothing in it is loaded before it stands in the page
  now.innerHTML = views.join('');
  children(log, now.content);
  element.classList.toggle('begun', views.length > 0);
  const examples = document.querySelector('#examples details');
  if (examples && views.length !== before) examples.open = views.length === 0;
  begin();
  tellWhole();
  if (views.length > before) log.lastElementChild.scrollIntoView({behavior: calm() ? 'auto' : 'smooth', block: 'start'});
}

// Once for each answer, when it is whole; a new question empties it, so that the same answer twice is told twice.
function tellWhole() {
  const words = log.lastElementChild?.dataset.told || '', told = element.querySelector('.told');
  if (told.textContent !== words) told.textContent = words;
}

function calm() { return matchMedia('(prefers-reduced-motion: reduce)').matches; }

function playTogether(card) {
  const clip = card.querySelector('video'), music = card.querySelector('.take:not(.clip):not(.before) audio');
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

// Media events do not rise; they are caught on their way down.
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
    if (event.target.dataset.next) exchange(event.target, event.target.dataset.next);
    if (together.includes(event.target)) for (const one of together) one.pause();
  }, true);
}

// The server deletes the files of a page that says goodbye at once, and of one that it hears nothing of after a while.
function tell(word) {
  const token = log.lastElementChild?.dataset.session;
  if (token) navigator.sendBeacon(`page/${token}/${word}`);
}
setInterval(() => tell('here'), 30000);
addEventListener('online', () => tell('here'));
document.addEventListener('visibilitychange', () => { if (!document.hidden) tell('here'); });
addEventListener('pagehide', event => { if (!event.persisted) tell('gone'); });

// Without a microphone gradio's button does nothing and says nothing.
async function noMicrophone() {
  if (!navigator.mediaDevices) return 'Browsers lend the microphone only to https and to pages of this machine; add a recording as a file.';
  const devices = await navigator.mediaDevices.enumerateDevices();
  if (!devices.some(one => one.kind === 'audioinput')) return 'No microphone was found; plug one in, or add a recording as a file.';
  const right = await navigator.permissions?.query({name: 'microphone'}).catch(() => null);
  return right?.state === 'denied' ? 'The browser does not lend this page the microphone; allow it, or add a recording as a file.' : '';
}
document.addEventListener('click', event => {
  if (!event.target.closest('#box .microphone-button, #box [data-testid=microphone-button]')) return;
  noMicrophone().then(words => { element.querySelector('.note').textContent = words; });
}, true);

// Names for screen readers: gradio's input hides its label, its buttons are called otherwise than they read, its files are
// items of no list, and the pictures in its footer repeat the words beside them.
function named(selector, name, words) {
  for (const one of document.querySelectorAll(selector)) {
    const wanted = words ?? one.textContent.trim();
    if (one.getAttribute(name) !== wanted) one.setAttribute(name, wanted);
  }
}
new MutationObserver(() => {
  named('#box textarea', 'aria-label', 'Your message');
  named('#box .input-row :is(.submit-button, .stop-button)', 'aria-label');
  named('#box .recording-overlay .stop-button', 'aria-label', 'Stop recording');
  named('#box .thumbnail-wrapper', 'role', 'group');
  named('footer img', 'alt', '');
}).observe(document.body, {childList: true, subtree: true});

// A control that goes with its own click must not take the keyboard's place with it. A finger that taps wants no keyboard.
document.addEventListener('click', event => {
  if (!event.target.closest('#box .input-row :is(.submit-button, .stop-button), #clear, #examples button')) return;
  if (event.detail && !matchMedia('(pointer: fine)').matches) return;
  document.querySelector('#box textarea')?.focus({preventScroll: true});
});

watch('value', render);
render();
