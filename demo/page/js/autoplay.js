// Whether new music may begin by itself: once per piece, not again after a reload, and in the tab that was used last.

const BEGUN_KEY = 'mumu-begun', TAB_KEY = 'mumu-tab';
const KEPT = 200;
const TAB = Math.random().toString(36).slice(2);

function claimTab() { if (document.hasFocus()) localStorage.setItem(TAB_KEY, TAB); }
addEventListener('focus', claimTab);
addEventListener('pointerdown', claimTab, true);
claimTab();

/** @param {string} id of a piece @returns {boolean} true at most once per piece */
export function mayBegin(id) {
  const begun = JSON.parse(sessionStorage.getItem(BEGUN_KEY) ?? '[]');
  if (begun.includes(id)) return false;
  sessionStorage.setItem(BEGUN_KEY, JSON.stringify([...begun, id].slice(-KEPT)));
  const used = localStorage.getItem(TAB_KEY);
  return used === null || used === TAB || document.hasFocus();
}
