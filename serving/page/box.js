// The search box and its options, as they tell the question that is asked.

import { OPTIONS } from "./address.js";
import { byId } from "./dom.js";
import { chip, fileChip } from "./upload.js";
import { nameOf } from "./words.js";

export class Box {
  /** `on` has submit(words), remove(what: "file" | "like") and option(name, value). */
  constructor(pictures, on) {
    this.pictures = pictures;
    this.on = on;
    this.input = byId("text");
    this.options = byId("options");
    // Results that more like them was asked for, by their ids: the chip shows them.
    this.seen = new Map();
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      on.submit(this.words);
    });
    byId("how").addEventListener("change", ({ target }) => on.option(target.name, target.value));
    document.addEventListener("click", (event) => {
      if (!event.target.closest("#options")) this.options.open = false;
    });
  }

  get words() {
    return this.input.value.trim();
  }

  /** Show a question. */
  show(query) {
    this.input.value = query.text;
    document.title = query.text ? `${query.text} · mediadex` : "mediadex";
    for (const name of OPTIONS) byId("how").elements[name].value = query.options[name] ?? "";
    this.options.classList.toggle("set", Object.keys(query.options).length > 0);
    const holder = byId("chip");
    holder.replaceChildren();
    if (query.file) holder.append(fileChip(query.file, () => this.on.remove("file")));
    else if (query.like) holder.append(this.likeChip(query.like));
  }

  likeChip(id) {
    const like = this.seen.get(id);
    const picture = this.pictures.frame(like?.thumbnail ?? null, like?.kind);
    return chip(picture, `Like ${like ? nameOf(like) : id}`, () => this.on.remove("like"));
  }
}
