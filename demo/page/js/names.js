// Accessible names of gradio's input: it hides the label, gives buttons an aria-label that differs from their text, marks
// uploaded files as list items without a list, and has a fixed height of the window for embedding pages.

function setAttributes(selector, name, value) {
  for (const target of document.querySelectorAll(selector)) {
    const text = value ?? target.textContent.trim();
    if (target.getAttribute(name) !== text) target.setAttribute(name, text);
  }
}

/** Corrects the names now and whenever gradio draws its input anew. */
export function watchNames() {
  const correct = () => {
    setAttributes('#box textarea', 'aria-label', 'Your message');
    setAttributes('#box .input-row :is(.submit-button, .stop-button)', 'aria-label');
    setAttributes('#box .recording-overlay .stop-button', 'aria-label', 'Stop recording');
    setAttributes('#box .thumbnail-wrapper', 'role', 'group');
  };
  for (const target of document.querySelectorAll('#box')) new MutationObserver(correct).observe(target, {childList: true, subtree: true});
  correct();
}
