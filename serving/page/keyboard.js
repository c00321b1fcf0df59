// The keys: "/" to search, j k and arrows through results, p to play, m for more like this.

/** Listen for keys. `on` has search, move(step), jump(rows), play, similar, help and escape. */
export function listen(on) {
  const actions = {
    "/": on.search,
    j: () => on.move(1),
    k: () => on.move(-1),
    ArrowRight: () => on.move(1),
    ArrowLeft: () => on.move(-1),
    ArrowDown: () => on.jump(1),
    ArrowUp: () => on.jump(-1),
    p: on.play,
    m: on.similar,
    "?": on.help,
    Escape: on.escape,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = event.target.closest("input, select, textarea, audio");
    const downFromSearch = event.key === "ArrowDown" && event.target.id === "text";
    if (typing && event.key !== "Escape" && !downFromSearch) return;
    if (actions[event.key]?.() === true) event.preventDefault();
  });
}

/** How many cards stand in the first row. */
export function columns(nodes) {
  const top = nodes[0]?.getBoundingClientRect().top;
  const next = nodes.findIndex((node) => node.getBoundingClientRect().top > top + 8);
  return next < 0 ? nodes.length : next;
}
