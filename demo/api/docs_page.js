// /docs: copies examples, and puts the address that the browser sees in them, which a proxy may have changed.
const base = document.body.dataset.base;
const seen = new URL('.', document.baseURI.replace(/\/docs\/?([?#].*)?$/, '/docs')).href.replace(/\/$/, '');
if (seen !== base) {
  for (const code of document.querySelectorAll('pre code')) code.textContent = code.textContent.replaceAll(base + '/', seen + '/');
}
document.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-copy]');
  if (!button) return;
  const text = button.closest('figure').querySelector('pre').textContent;
  const status = document.getElementById('copied');
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = 'Copied.';
  } catch {
    getSelection().selectAllChildren(button.closest('figure').querySelector('pre'));
    status.textContent = 'Selected: copy it with your keyboard.';
  }
  setTimeout(() => { status.textContent = ''; }, 3000);
});
