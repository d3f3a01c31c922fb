// Says why there is no microphone: gradio's button fails silently.

async function microphoneError() {
  if (!navigator.mediaDevices) return 'Browsers lend the microphone only to https and to pages of this machine; add a recording as a file.';
  const devices = await navigator.mediaDevices.enumerateDevices();
  if (!devices.some(device => device.kind === 'audioinput')) return 'No microphone was found; plug one in, or add a recording as a file.';
  const permission = await navigator.permissions?.query({name: 'microphone'}).catch(() => null);
  return permission?.state === 'denied' ? 'The browser does not lend this page the microphone; allow it, or add a recording as a file.' : '';
}

let shown = '';

/** Shows a sentence about the microphone; "" takes the last one back. */
export function microphoneNote(text) {
  const note = document.querySelector('#note');
  if (text || note.textContent === shown) note.textContent = text;
  shown = text;
}

/** Explains a click on the microphone's button that cannot work. */
export function watchMicrophone() {
  document.addEventListener('click', event => {
    if (event.target.closest('#box .microphone-button, #box [data-testid=microphone-button]')) microphoneError().then(microphoneNote);
  }, true);
}
