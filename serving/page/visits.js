// Where the visitor is: questions in the address bar, and the files that cannot be written there.

import * as address from "./address.js";

// A visit's file is kept by the number of its state, as long as the page is open.
const files = [];
// After a reload the numbers begin anew: those in older states mean files that are gone.
const page = performance.timeOrigin;

/** Go to a question; the address bar and the back button know it from now on. */
export function go(query) {
  if (query.file && !files.includes(query.file)) files.push(query.file);
  const [now, url] = [here(), address.write(query)];
  const same = now.file === query.file && address.write(now) === url;
  const visit = [{ page, file: files.indexOf(query.file) }, "", url];
  if (same) history.replaceState(...visit);
  else history.pushState(...visit);
}

/** The question of the visit in the address bar, with its file where that is still here. */
export function here() {
  const { page: of, file = -1 } = history.state ?? {};
  return { ...address.read(location.search), file: (of === page && files[file]) || null };
}

/** Whether this visit was by a file that a reload lost. */
export const lost = () => history.state?.file >= 0 && history.state.page !== page;
