// The explanation of a result: why it was found, what the query took, what is known of the item,
// and what can be done with it.

import { past, write } from "./address.js";
import { byId, definitions, el, iconButton } from "./dom.js";
import { details } from "./details.js";
import { sum, trace } from "./reasons.js";
import { kindName, live, nameOf, place } from "./words.js";

export class Panel {
  /** `on` has play(result, second?), similar(result), step(±1), picture(segment, title). */
  constructor(api, pictures, on) {
    this.api = api;
    this.pictures = pictures;
    this.on = on;
    // What was judged, by query and item: an opened explanation shows it again.
    this.judged = new Map();
    this.root = byId("panel");
    this.root.addEventListener("click", (event) => {
      if (event.target === this.root) this.close();
    });
    this.root.addEventListener("close", () => this.leave());
  }

  get open() {
    return this.root.open;
  }

  close() {
    this.root.close();
  }

  /** Open on a result of an answer. What must be asked for is filled in as it comes. */
  async show(result, answer) {
    this.result = result;
    this.leaving?.abort();
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    const why = el("section", { class: "why", "aria-label": "Parts of the score" });
    const steps = el("section", { "aria-label": "Steps" }, trace(answer.trace));
    const about = el("section", { "aria-label": "The item" }, waiting());
    why.append(sum(result, null, {}));
    this.root.replaceChildren(
      this.head(result),
      el("div", { class: "body" }, this.hero(result), this.actions(result, answer), why, steps,
        this.query(result, answer), about),
      byId("dock"), // What is outside of an open dialog cannot be used.
    );
    if (!this.root.open) this.root.showModal();
    this.root.scrollTop = 0;
    this.root.querySelector("h2").focus();
    await Promise.all([
      this.fill(why, async () => {
        const told = await this.api.explain(answer.query_id, signal);
        if (told.repeats)
          this.fill(steps, async () => trace((await this.api.explain(told.repeats, signal)).trace, true));
        const candidate = told.candidates?.find((each) => each.item_id === result.item_id);
        return sum(result, candidate, told.weights ?? {});
      }, true),
      this.fill(about, async () => {
        const item = await this.api.item(result.item_id, signal);
        this.enlarge(result, item);
        return details(item, this.pictures, (segment) =>
          segment.kind === "sound"
            ? this.on.play(result, segment.start_s)
            : this.on.picture(segment, nameOf(result)),
        );
      }),
    ]);
  }

  async fill(section, make, keep = false) {
    try {
      section.replaceChildren(await make());
    } catch (error) {
      if (error.name === "AbortError") return;
      const reason = el("p", { class: "quiet" }, error.message || "This could not be looked up.");
      if (keep) section.append(reason);
      else section.replaceChildren(reason);
    }
  }

  leave() {
    this.leaving?.abort();
    document.body.append(byId("dock"));
    this.on.left(this.result);
  }

  head(result) {
    const facts = [kindName(result.kind), place(result.segment), live(result.live)];
    return el(
      "header",
      {},
      el(
        "div",
        { class: "names" },
        el("h2", { id: "panel-title", tabindex: "-1", dir: "auto" }, nameOf(result)),
        el("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      ),
      iconButton("left", "Previous result", () => this.on.step(-1)),
      iconButton("right", "Next result", () => this.on.step(1)),
      iconButton("close", "Close", () => this.close()),
    );
  }

  hero(result) {
    if (!result.thumbnail) return null;
    return el("div", { class: "hero" }, this.pictures.frame(result.thumbnail, result.kind));
  }

  /** Put the picture of the part that matched, or else the first one, over its small one. */
  enlarge(result, item) {
    const seen = (item.segments ?? []).filter((each) => each.derivative && each.kind !== "sound");
    const best = seen.find((each) => each.segment === result.segment?.segment) ?? seen[0];
    const frame = this.root.querySelector(".hero .frame");
    if (best && frame) frame.append(this.pictures.image(best.derivative));
  }

  actions(result, answer) {
    const make = (name, onclick) => el("button", { type: "button", onclick }, name);
    const key = `${answer.query_id} ${result.item_id}`;
    const judge = (kind, name) => {
      const button = make(name, async () => {
        try {
          await this.api.feedback(answer.query_id, result.item_id, kind);
          this.judged.set(key, kind);
          for (const other of row.querySelectorAll("[aria-pressed]"))
            other.setAttribute("aria-pressed", String(other === button));
        } catch (error) {
          button.replaceWith(el("span", { class: "quiet" }, error.message));
        }
      });
      button.setAttribute("aria-pressed", String(this.judged.get(key) === kind));
      return button;
    };
    const row = el(
      "p",
      { class: "buttons" },
      result.play ? make("Play", () => this.on.play(result)) : null,
      make("More like this", () => this.on.similar(result)),
      el("span", { class: "space" }),
      judge("good", "Good match"),
      judge("bad", "No match"),
    );
    return row;
  }

  /** Which question of which release this was, its address, and a button that asks it again. */
  query(result, answer) {
    const id = answer.query_id;
    const told = el("span", { class: "quiet", role: "status" });
    const button = el("button", { type: "button" }, "Ask it again");
    button.addEventListener("click", async () => {
      button.disabled = true;
      told.textContent = "Asking the release that answered…";
      try {
        told.textContent = replayed(await this.api.replay(id));
      } catch (error) {
        told.textContent = error.message;
      }
      button.disabled = false;
    });
    return el(
      "section",
      { "aria-label": "The question" },
      el("h3", {}, "The question"),
      definitions([
        ["Release", answer.release],
        ["Plan", answer.plan],
        ["Weights", answer.profile],
        ["Id", el("a", { href: write(past(id, result.item_id)) }, id)],
      ]),
      el("p", { class: "buttons replay" }, button, told),
    );
  }
}

const waiting = () => el("p", { class: "quiet" }, "Looking it up…");

function replayed({ same_ids: same, max_difference: difference }) {
  if (!same) return "Other results now: what it may show has changed since.";
  if (difference < 1e-9) return "The same results, the same scores.";
  return `The same results; scores differ by at most ${difference.toExponential(1)}.`;
}
