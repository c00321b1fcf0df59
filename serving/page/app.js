// The page put together: one question at a time, kept in the address bar, asked, shown.

import * as address from "./address.js";
import { Api } from "./api.js";
import { Box } from "./box.js";
import { byId, el } from "./dom.js";
import { Panel } from "./explain.js";
import { Facets, pills } from "./facets.js";
import { columns, listen } from "./keyboard.js";
import {
  note, refusalInWords, remarks, retryButton, say, sentence, state, tell, unnote,
} from "./notices.js";
import { Pictures } from "./pictures.js";
import { Player } from "./player.js";
import { Results } from "./results.js";
import { askToken } from "./token.js";
import { acceptFiles } from "./upload.js";
import * as visits from "./visits.js";
import { nameOf, plural } from "./words.js";

const PAGE = 24;
const MOST = 480;
const LOST = "The file that was searched by is gone since the page was loaded anew. Choose it again.";
const OTHERWISE = "Try other words, or a picture of it.";

const api = new Api(askToken);
const pictures = new Pictures(api);
const complain = (error) =>
  tell(error.status === undefined ? error.message : refusalInWords(error).join(". "));
const player = new Player(api, pictures, complain);
const results = new Results(pictures, { open: explain, play, similar });
const panel = new Panel(api, pictures, {
  play,
  similar,
  step,
  picture: (segment, title) => player.show(segment, title),
  left: (result) => results.focus(result),
});
const narrow = (filters) => change({ filters }, { again: true });
const toggle = (field, value) => narrow(address.toggled(query.filters, field, value));
const unfilter = () => narrow(new Map());
const facets = new Facets(toggle);

const box = new Box(pictures, {
  // Words after "more like this" are a new question; words with a file go together.
  submit: (words) =>
    (words || query.file) && change({ text: words, like: null, filters: new Map() }),
  remove: (what) => change({ [what]: null }),
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

/** Ask the present question anew with something changed; what is changed is not of the past. */
const change = (what, how) => ask({ ...query, past: null, ...what }, how);

async function load(next, again = false) {
  query = next;
  asking?.abort();
  panel.close();
  player.viewer.close();
  asking = new AbortController();
  const { signal } = asking;
  box.show(query);
  byId("after").replaceChildren();
  unnote();
  if (visits.lost()) tell(LOST);
  if (address.isEmpty(query)) return start();
  document.body.dataset.view = "results";
  pills(query.filters, toggle, unfilter);
  if (query.like && !box.seen.has(query.like)) meet(query.like, signal);
  if (!again) {
    player.stop();
    scrollTo({ top: 0 });
  }
  results.wait();
  say("Searching…");
  try {
    const found = await api.search(query, address.where(query.filters), PAGE, 0, signal);
    if (signal.aborted) return;
    answer = found;
    if (query.past) recall();
    show(again);
  } catch (error) {
    if (!signal.aborted) fail(error, () => load(query, again));
  }
}

/** Put the words of a past question into the box, to be asked anew. */
function recall() {
  const { words, text } = answer.asked;
  query = { ...query, text: (words === "text" && text) || "" };
  box.show(query);
}

/** Learn the name of an item that more like it is asked for; the search tells what goes wrong. */
async function meet(id, signal) {
  const item = await api.item(id, signal).catch(() => null);
  if (!item || signal.aborted) return;
  box.seen.set(id, { ...item, thumbnail: item.segments.find((each) => each.thumbnail)?.thumbnail });
  box.show(query);
}

/** Ask the same in another way; an empty value is what the server does by itself. */
function choose(name, value) {
  const { [name]: _, ...others } = query.options;
  query = { ...query, past: null, options: value ? { ...others, [name]: value } : others };
  if (address.isEmpty(query)) box.show({ ...query, text: box.words });
  else ask(query, { again: true });
}

function start() {
  answer = null;
  results.clear();
  byId("pills").replaceChildren();
  byId("facets").hidden = true;
  document.body.dataset.view = "start";
  box.input.focus();
}

function show(again) {
  results.show(answer);
  facets.show(answer.facets, query.filters, again);
  remarks(answer).forEach(note);
  if (!answer.results.length) return nothing();
  say(`${plural(answer.results.length, "result")}. The best: ${nameOf(answer.results[0])}`);
  if (!query.past) return offerMore(answer.results.length);
  const explained = answer.results.find((each) => each.item_id === query.item);
  if (explained) panel.show(explained, answer);
}

function nothing() {
  const filtered = query.filters.size > 0;
  const button = el("button", { type: "button", class: "primary", onclick: unfilter }, "Clear the filters");
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
      const fresh = results.add(next);
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
  byId("facets").hidden = true;
  const [title, words] = refusalInWords(error);
  const worth = ![403, 404, 413, 422].includes(error.status);
  state(title, words, ...(worth ? [retryButton(error.retryS, again)] : []));
}

function explain(result) {
  if (!result || !answer) return;
  clicked(result);
  panel.show(result, results.answerOf(result));
}

function play(result, second = result.segment?.start_s ?? 0) {
  clicked(result);
  return player.play(result.item_id, nameOf(result), second);
}

/** Ask for what is like a result. */
function similar(result) {
  box.seen.set(result.item_id, result);
  change({ text: "", file: null, like: result.item_id, filters: new Map() })
    .then(() => results.openers[0]?.focus());
}

/** What is opened is told to the server, which learns from it; nobody waits for that. */
function clicked(result) {
  const { query_id } = results.answerOf(result);
  api.feedback(query_id, result.item_id, "click").catch(() => {});
}

const current = () => (panel.open ? panel.result : results.of(document.activeElement));

/** Go some results on, in the panel where it is open, else from card to card. */
function step(by) {
  if (!results.shown.length) return false;
  const at = results.shown.indexOf(current());
  const next = results.shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), results.shown.length - 1)];
  if (panel.open) {
    if (next !== panel.result) panel.show(next, results.answerOf(next));
  } else results.focus(next);
  return true;
}

// Links are visits of this page, which stays loaded and keeps the files of its visits.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.hash) document.querySelector(link.hash).focus();
  else ask(address.read(link.search));
});
acceptFiles((file) => change({ text: box.words, like: null, file, filters: new Map() }), tell);
listen({
  search: () => (box.input.focus(), box.input.select(), true),
  move: step,
  jump: (rows) => step(panel.open ? rows : rows * columns(results.openers)),
  play: () => Boolean(current()?.play && play(current())),
  similar: () => Boolean(current() && (similar(current()), true)),
  help: () => (byId("help").showModal(), true),
  escape: () => {
    if (document.querySelector("dialog[open]")) return false;
    if (box.fold()) return true;
    if (player.playing) player.stop();
    else document.activeElement?.blur();
    return true;
  },
});
addEventListener("popstate", () => load(visits.here()));
addEventListener("online", () => !answer && !address.isEmpty(query) && load(query));

load(visits.here());
