// Rows that scroll sideways: they fade at each end where they go on.

/**
 * @param {HTMLElement} row gets the classes "more-before" and "more-after"
 * @returns {{update(): void, destroy(): void}} update: after other contents; another width it sees by itself
 */
export function watchEnds(row) {
  function update() {
    row.classList.toggle('more-before', row.scrollLeft > 1);
    row.classList.toggle('more-after', row.scrollWidth - row.clientWidth - row.scrollLeft > 1);
  }

  const resized = new ResizeObserver(update);
  resized.observe(row);
  row.addEventListener('scroll', update, {passive: true});
  return {update, destroy: () => resized.disconnect()};
}
