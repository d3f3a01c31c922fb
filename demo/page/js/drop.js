// Files that are dropped anywhere in the window, or pasted, go into the message: gradio takes them at its input alone,
// and a browser would leave the page for a file that is dropped beside it.

const INPUT = '#box input[type=file]';

function hasFiles(transfer) { return [...transfer?.types ?? []].includes('Files'); }

/** Hands files to gradio's own upload, as a choice in its dialog would. */
function addFiles(files) {
  const input = document.querySelector(INPUT), transfer = new DataTransfer();
  if (!input) return;
  for (const file of files) transfer.items.add(file);
  input.files = transfer.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
  document.querySelector('#box textarea')?.focus({preventScroll: true});
}

function overlay() {
  const shade = document.createElement('div'), text = document.createElement('p');
  shade.id = 'drop-overlay';
  shade.hidden = true;
  shade.setAttribute('aria-hidden', 'true');
  text.textContent = 'Drop a recording, a score, a picture or a clip: it goes into your message';
  shade.append(text);
  document.body.append(shade);
  return shade;
}

/** Takes files from the whole window. */
export function watchFiles() {
  const shade = overlay();
  let timer = 0;
  const hide = () => { clearTimeout(timer); shade.hidden = true; };
  addEventListener('dragover', event => {
    if (!hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = 'copy';
    shade.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(hide, 400);  // dragover comes all the time until the pointer leaves the window
  }, true);
  addEventListener('drop', event => {
    if (!hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    event.stopPropagation();  // gradio's input would add them once more
    hide();
    addFiles(event.dataTransfer.files);
  }, true);
  addEventListener('paste', event => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length || event.clipboardData.types.includes('text/html')) return;  // a copied text may carry its picture
    event.preventDefault();
    event.stopPropagation();
    addFiles(files);
  }, true);
}
