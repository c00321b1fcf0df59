// Pictures of items: the redacted thumbnail where there is one, else a drawing of the kind.

import { el, icon } from "./dom.js";
import { kindIcon } from "./words.js";

/** Make pictures. They are fetched, since an <img> can neither send a token nor wait its turn. */
export class Pictures {
  constructor(api) {
    this.api = api;
    this.waiting = new Map();
    this.seen = new IntersectionObserver((entries) => this.arrive(entries), { rootMargin: "300px" });
  }

  /** A frame with the picture at `path` (or null) of an item of a kind. */
  frame(path, kind) {
    const drawing = icon(kindIcon(kind), "drawing");
    const frame = el("div", { class: "frame", "data-kind": kindIcon(kind) }, drawing);
    if (path) frame.append(this.image(path));
    return frame;
  }

  /** An image that takes itself away when it cannot be shown. */
  image(path) {
    const image = el("img", { alt: "", decoding: "async" });
    image.addEventListener("load", () => image.classList.add("here"));
    image.addEventListener("error", () => image.remove());
    this.waiting.set(image, path);
    this.seen.observe(image);
    return image;
  }

  arrive(entries) {
    for (const { target, isIntersecting } of entries) {
      const path = isIntersecting && this.waiting.get(target);
      if (!path) continue;
      this.seen.unobserve(target);
      this.waiting.delete(target);
      this.fill(target, path);
    }
  }

  async fill(image, path) {
    if (!image.isConnected) return;
    try {
      const url = URL.createObjectURL(await (await this.api.fetch(path)).blob());
      image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
      image.src = url;
    } catch (error) {
      if (error.retryS) setTimeout(() => this.fill(image, path), 1000 * error.retryS);
      else image.remove();
    }
  }
}
