// Where the visitor is: questions in the address bar, and the files that cannot be written there.

import * as address from "./address.js";

// A visit's file is kept by the number of its state, as long as the page is open.
const files = [];

/** Go to a question; the address bar and the back button know it from now on. */
export function go(query) {
  if (query.file && !files.includes(query.file)) files.push(query.file);
  history.pushState({ file: files.indexOf(query.file) }, "", address.write(query));
}

/** The question of the visit in the address bar, with its file where that is still here. */
export function here() {
  return { ...address.read(location.search), file: files[history.state?.file] ?? null };
}
