// A question before something is deleted: a modal dialog with two answers, closed by Escape as by "Keep".

/**
 * @param {string} text the question
 * @param {string} label of the button that does it
 * @param {string} [otherwise] label of the other one
 * @returns {Promise<boolean>} whether it is to be done
 */
export function ask(text, label, otherwise = 'Keep it') {
  const dialog = document.createElement('dialog'), words = document.createElement('p'), row = document.createElement('div');
  dialog.className = 'question';
  words.id = 'question-text';
  words.textContent = text;
  dialog.setAttribute('aria-labelledby', words.id);
  row.className = 'row';
  for (const [answer, name, style] of [['', otherwise, 'small'], ['yes', label, 'small danger']]) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = style;
    button.textContent = name;
    button.addEventListener('click', () => dialog.close(answer));
    row.append(button);
  }
  dialog.append(words, row);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise(resolve => dialog.addEventListener('close', () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); }));
}
