// The page put together: one question at a time, kept in the address bar, asked, shown.

import * as address from "./address.js";
import { Api } from "./api.js";
import { Box } from "./box.js";
import { byId, el } from "./dom.js";
import { Panel } from "./explain.js";
import { Facets, pills } from "./facets.js";
import { columns, listen } from "./keyboard.js";
import { note, refusalInWords, remarks, retryButton, say, sentence, state } from "./notices.js";
import { Pictures } from "./pictures.js";
import { Player } from "./player.js";
import { Results } from "./results.js";
import { askToken } from "./token.js";
import { acceptFiles } from "./upload.js";
import * as visits from "./visits.js";
import { nameOf, plural } from "./words.js";

const PAGE = 24;
const MOST = 480;
const OTHERWISE = "Try other words, or a picture of it.";

const api = new Api(askToken);
const pictures = new Pictures(api);
const complain = (error) => {
  const told = error.status === undefined ? error.message : refusalInWords(error).join(". ");
  note([told]);
  say(told);
};
const player = new Player(api, pictures, complain);
const results = new Results(pictures, { open: explain, play, similar });
const panel = new Panel(api, pictures, {
  play,
  similar,
  step,
  picture: (segment, title) => player.show(segment, title),
  left: (result) => results.focus(result),
});
const facets = new Facets((filters) => ask({ ...query, filters }, { again: true }));

const box = new Box(pictures, {
  // Words after "more like this" are a new question; words with a file go together.
  submit: (words) =>
    (words || query.file) && ask({ ...query, text: words, like: null, filters: new Map() }),
  remove: (what) => ask({ ...query, [what]: null }),
  option: choose,
});

let query = address.empty();
let answer = null;
let asking = null;

/** Ask a question: write it to the address bar, then fetch and show the answer. */
function ask(next, { again = false } = {}) {
  visits.go(next);
  return load(next, again);
}

async function load(next, again = false) {
  query = next;
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  box.show(query);
  if (address.isEmpty(query)) return start();
  document.body.dataset.view = "results";
  byId("after").replaceChildren();
  note([]);
  if (!again) player.stop();
  results.wait();
  try {
    const found = await api.search(query, address.where(query.filters), PAGE, 0, signal);
    if (signal.aborted) return;
    answer = found;
    show(again);
  } catch (error) {
    if (error.name !== "AbortError") fail(error, () => load(query, again));
  }
}

/** Ask the same in another way; an empty value is what the server does by itself. */
function choose(name, value) {
  const { [name]: _, ...others } = query.options;
  query = { ...query, options: value ? { ...others, [name]: value } : others };
  if (address.isEmpty(query)) box.show({ ...query, text: box.words });
  else ask(query, { again: true });
}

function start() {
  answer = null;
  results.clear();
  note([]);
  byId("after").replaceChildren();
  byId("facets").hidden = true;
  document.body.dataset.view = "start";
  box.input.focus();
}

function show(again) {
  results.show(answer);
  facets.show(answer.facets, query.filters, again);
  note(remarks(answer));
  const chosen = pills(query.filters, (filters) => ask({ ...query, filters }, { again: true }));
  if (chosen) byId("notices").prepend(chosen);
  if (!answer.results.length) return nothing();
  say(`${plural(answer.results.length, "result")}. The best: ${nameOf(answer.results[0])}`);
  offerMore(answer.results.length);
}

function nothing() {
  const filtered = query.filters.size > 0;
  const clear = () => ask({ ...query, filters: new Map() }, { again: true });
  const button = el("button", { type: "button", class: "primary", onclick: clear }, "Clear the filters");
  const actions = filtered ? [button] : [];
  if (answer.no_match) state("No good match", `${sentence(answer.no_match)} ${OTHERWISE}`, ...actions);
  else if (filtered) state("Nothing passes these filters", "What was found lies outside of them.", button);
  else state("Nothing was found", OTHERWISE);
}

/** Offer the next results where the last page was full. */
function offerMore(came) {
  const after = byId("after");
  after.replaceChildren();
  if (came < PAGE || results.shown.length + PAGE > MOST) return;
  const button = el("button", { type: "button", class: "more" }, "More results");
  button.addEventListener("click", async () => {
    const { signal } = asking;
    button.disabled = true;
    try {
      const offset = results.shown.length;
      const next = await api.search(query, address.where(query.filters), PAGE, offset, signal);
      if (signal.aborted) return;
      const fresh = results.add(next.results);
      say(`${plural(fresh, "more result")}`);
      results.openers[offset]?.focus();
      offerMore(fresh);
    } catch (error) {
      button.disabled = false;
      if (error.name !== "AbortError") complain(error);
    }
  });
  after.append(button);
}

function fail(error, again) {
  answer = null;
  results.clear();
  const [title, words] = refusalInWords(error);
  const worth = ![403, 404, 413, 422].includes(error.status);
  state(title, words, ...(worth ? [retryButton(error.retryS, again)] : []));
}

function explain(result) {
  if (!result || !answer) return;
  clicked(result);
  panel.show(result, answer);
}

function play(result, second = result.segment?.start_s ?? 0) {
  clicked(result);
  return player.play(result.item_id, nameOf(result), second);
}

/** Ask for what is like a result. */
function similar(result) {
  if (panel.open) panel.root.close();
  box.seen.set(result.item_id, result);
  ask({ ...query, text: "", file: null, like: result.item_id, filters: new Map() });
  scrollTo({ top: 0 });
}

/** What is opened is told to the server, which learns from it; nobody waits for that. */
function clicked(result) {
  if (answer) api.feedback(answer.query_id, result.item_id, "click").catch(() => {});
}

const current = () => (panel.open ? panel.result : results.of(document.activeElement));

/** Go some results on, in the panel where it is open, else from card to card. */
function step(by) {
  if (!results.shown.length) return false;
  const at = results.shown.indexOf(current());
  const next = results.shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), results.shown.length - 1)];
  if (panel.open) {
    if (next !== panel.result) panel.show(next, answer);
  } else results.focus(next);
  return true;
}

document.querySelector(".brand").addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  ask(address.empty());
});
acceptFiles(
  (file) => ask({ ...query, text: box.words, like: null, file, filters: new Map() }),
  (reason) => note([reason]),
);
listen({
  search: () => (box.input.focus(), box.input.select(), true),
  move: step,
  jump: (rows) => step(panel.open ? rows : rows * columns(results.openers)),
  play: () => Boolean(current()?.play && play(current())),
  similar: () => Boolean(current() && (similar(current()), true)),
  help: () => (byId("help").showModal(), true),
  escape: () => {
    box.options.open = false;
    if (document.querySelector("dialog[open]")) return false;
    if (player.playing) player.stop();
    else document.activeElement?.blur();
    return true;
  },
});
addEventListener("popstate", () => load(visits.here()));
addEventListener("online", () => !answer && !address.isEmpty(query) && load(query));

load(visits.here());
