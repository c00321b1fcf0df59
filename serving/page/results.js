// What was found, as a grid of cards: picture, title, place, matched words, and the bar of its score.

import { byId, el, icon, iconButton } from "./dom.js";
import { bar, extent, legend, numbers } from "./channels.js";
import { clock, kindName, lasted, live, milliseconds, nameOf, place, plural, score } from "./words.js";

const SKELETONS = 8;

export class Results {
  /** `on` has open(result), play(result) and similar(result). */
  constructor(pictures, on) {
    this.pictures = pictures;
    this.on = on;
    this.grid = byId("grid");
    this.summary = byId("summary");
    this.shown = [];
    this.answers = new WeakMap();
  }

  /** Show that an answer is awaited: empty cards at first, then the old ones paler. */
  wait() {
    this.grid.setAttribute("aria-busy", "true");
    this.summary.replaceChildren(el("p", {}, "Searching…"));
    if (this.shown.length) return;
    const cards = Array.from({ length: SKELETONS }, () =>
      el("li", { class: "card skeleton", "aria-hidden": "true" }, el("div", { class: "frame" })),
    );
    this.grid.replaceChildren(...cards);
  }

  clear() {
    this.shown = [];
    this.grid.replaceChildren();
    this.summary.replaceChildren();
    this.grid.removeAttribute("aria-busy");
  }

  show(answer) {
    this.clear();
    this.release = answer.release;
    this.took = answer.cached ? "from the cache" : milliseconds(lasted(answer.trace));
    this.longest = Math.max(0, ...answer.results.map(extent));
    this.add(answer);
  }

  /** Append those results of an answer that are not shown yet, and return how many they are. */
  add(answer) {
    const here = new Set(this.shown.map((result) => result.item_id));
    const fresh = answer.results.filter((result) => !here.has(result.item_id));
    for (const result of fresh) this.answers.set(result, answer);
    this.shown.push(...fresh);
    this.grid.append(...fresh.map((result) => this.card(result)));
    this.summarise();
    return fresh.length;
  }

  summarise() {
    if (!this.shown.length) return this.summary.replaceChildren();
    const facts = [plural(this.shown.length, "result"), this.took, this.release];
    this.summary.replaceChildren(el("p", {}, facts.join(" · ")), legend(this.shown));
  }

  card(result) {
    const title = nameOf(result);
    const facts = [kindName(result.kind), place(result.segment), live(result.live)];
    const open = () => this.on.open(result);
    const buttons = el(
      "div",
      { class: "buttons" },
      iconButton("similar", `More like ${title}`, () => this.on.similar(result)),
    );
    const card = el(
      "li",
      { class: "card", "data-item": result.item_id },
      el(
        "div",
        { class: "picture" },
        this.pictures.frame(result.thumbnail, result.kind),
        result.play ? this.playButton(result, title) : null,
        numbers(result),
      ),
      el("button", { type: "button", class: "open", dir: "auto", onclick: open }, title),
      el("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      matched(result.matched),
      el(
        "div",
        { class: "foot" },
        el("span", { class: "score", title: "Score" }, score(result.score)),
        bar(result, this.longest),
        buttons,
      ),
    );
    card.addEventListener("click", (event) => {
      if (!event.target.closest("button")) open();
    });
    return card;
  }

  playButton(result, title) {
    const second = result.segment?.start_s ?? 0;
    return el(
      "button",
      {
        type: "button",
        class: "play",
        "aria-label": `Play ${title} from ${clock(second)}`,
        onclick: () => this.on.play(result),
      },
      icon("play"),
      clock(second),
    );
  }

  /** The buttons that open the cards, in order: what the keyboard moves through. */
  get openers() {
    return [...this.grid.querySelectorAll(".open")];
  }

  /** The answer that a result came with: the next page is another one, with an id of its own. */
  answerOf(result) {
    return this.answers.get(result);
  }

  /** The result that a node belongs to. */
  of(node) {
    const id = node?.closest?.(".card")?.dataset.item;
    return this.shown.find((result) => result.item_id === id) ?? null;
  }

  focus(result) {
    const at = this.shown.indexOf(result);
    this.openers[at]?.focus();
  }
}

function matched(words) {
  if (!words?.length) return null;
  const marks = words.slice(0, 6).map((word) => el("li", {}, el("mark", {}, word)));
  return el("ul", { class: "matched", "aria-label": "Matched words" }, marks);
}
