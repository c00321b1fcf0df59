// Playing a moment: one sound at a time, from the second that matched; a keyframe where no sound is.

import { byId, el, icon, iconButton } from "./dom.js";
import { clock } from "./words.js";

/** The stored piece that holds a second: pieces overlap, the last one begun goes on for longest. */
export function pieceAt(segments, second) {
  const timed = segments.filter((each) => each.derivative && each.start_s !== null);
  const sounds = timed.filter((each) => each.kind === "sound");
  const keyframes = timed.filter((each) => each.kind === "keyframe");
  const pieces = (sounds.length ? sounds : keyframes).sort((a, b) => a.start_s - b.start_s);
  return pieces.findLast((each) => each.start_s <= second) ?? pieces[0] ?? null;
}

export class Player {
  /** `complain(error)` is told what could not be played. */
  constructor(api, pictures, complain) {
    this.api = api;
    this.pictures = pictures;
    this.complain = complain;
    this.dock = byId("dock");
    this.viewer = byId("viewer");
    this.viewer.addEventListener("click", () => this.viewer.close());
    this.audio = el("audio", { preload: "auto" });
    this.audio.addEventListener("timeupdate", () => this.follow());
    for (const event of ["play", "pause", "ended", "loadedmetadata", "seeked"])
      this.audio.addEventListener(event, () => this.follow());
    this.audio.addEventListener("error", () => {
      if (!this.dock.hidden) this.complain(new Error("This sound cannot be played."));
    });
    this.build();
  }

  build() {
    this.title = el("span", { class: "title" });
    this.time = el("span", { class: "time" });
    this.toggle = iconButton("pause", "Pause", () =>
      this.audio.paused ? this.audio.play() : this.audio.pause(),
    );
    this.slider = el("input", { type: "range", min: 0, step: 0.1, "aria-label": "Position" });
    this.slider.addEventListener("input", () => (this.audio.currentTime = this.slider.value));
    const close = iconButton("close", "Stop playing", () => this.stop());
    this.dock.append(this.toggle, this.title, this.slider, this.time, close);
    document.body.append(this.audio); // Not in the dock, which moves: what is moved falls silent.
  }

  /** Play an item from a second on, or show the keyframe of that second. */
  async play(itemId, title, second) {
    this.stop();
    const wanted = (this.wanted = {});
    try {
      const piece = pieceAt((await this.api.item(itemId)).segments, second);
      if (this.wanted !== wanted) return;
      if (!piece) throw new Error("There is nothing to play of this item.");
      if (piece.kind === "sound") await this.sound(piece, title, second, wanted);
      else this.show(piece, title);
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error);
    }
  }

  async sound(piece, title, second, wanted) {
    const offset = Math.min(Math.max(second - piece.start_s, 0), piece.end_s - piece.start_s);
    let url = piece.derivative;
    // An <audio> cannot send a token.
    if (this.api.token) {
      const bytes = await (await this.api.fetch(url)).blob();
      if (this.wanted !== wanted) return;
      url = this.fetched = URL.createObjectURL(bytes);
    }
    this.start = piece.start_s;
    this.title.textContent = title;
    this.audio.src = `${url}#t=${offset.toFixed(3)}`;
    this.dock.hidden = false;
    document.body.classList.add("playing");
    await this.audio.play();
  }

  /** Show a stored picture of a piece, large. */
  show(piece, title) {
    const moment = piece.start_s === null ? null : clock(piece.start_s);
    const caption = [title, moment ?? (piece.page ? `page ${piece.page}` : null)];
    this.viewer.replaceChildren(
      iconButton("close", "Close the picture", () => this.viewer.close()),
      el(
        "figure",
        {},
        this.pictures.image(piece.derivative ?? piece.thumbnail),
        el("figcaption", {}, caption.filter(Boolean).join(" · ")),
      ),
    );
    if (!this.viewer.open) this.viewer.showModal();
  }

  follow() {
    const { currentTime, duration, paused } = this.audio;
    const name = paused ? "Play" : "Pause";
    if (this.toggle.getAttribute("aria-label") !== name) {
      this.toggle.setAttribute("aria-label", name);
      this.toggle.title = name;
      this.toggle.replaceChildren(icon(paused ? "play" : "pause"));
    }
    const length = Number.isFinite(duration) ? duration : 0;
    this.slider.max = length;
    this.slider.value = currentTime;
    const now = clock(this.start + currentTime);
    this.slider.setAttribute("aria-valuetext", now);
    this.time.textContent = `${now} / ${clock(this.start + length)}`;
  }

  get playing() {
    return Boolean(this.wanted);
  }

  stop() {
    this.wanted = null;
    this.audio.pause();
    this.dock.hidden = true;
    document.body.classList.remove("playing");
    this.audio.removeAttribute("src");
    if (this.fetched) URL.revokeObjectURL(this.fetched);
    this.fetched = null;
  }
}
