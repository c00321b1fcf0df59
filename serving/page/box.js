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
    // Words that were typed since, and not asked yet, stay.
    if (query.text !== this.told) this.input.value = this.told = query.text;
    const like = query.like && this.likeName(query.like);
    document.title = [query.text || query.file?.name || like, "mediadex"].filter(Boolean).join(" · ");
    for (const name of OPTIONS) byId("how").elements[name].value = query.options[name] ?? "";
    this.options.classList.toggle("set", Object.keys(query.options).length > 0);
    const holder = byId("chip");
    holder.replaceChildren();
    if (query.file) holder.append(fileChip(query.file, () => this.on.remove("file")));
    else if (query.like) holder.append(this.likeChip(query.like));
  }

  likeName(id) {
    const like = this.seen.get(id);
    return `Like ${like ? nameOf(like) : id}`;
  }

  likeChip(id) {
    const like = this.seen.get(id);
    const picture = this.pictures.frame(like?.thumbnail ?? null, like?.kind);
    return chip(picture, this.likeName(id), () => this.on.remove("like"));
  }

  /** Close the options; whether they were open. */
  fold() {
    if (!this.options.open) return false;
    this.options.open = false;
    this.options.querySelector("summary").focus();
    return true;
  }
}
