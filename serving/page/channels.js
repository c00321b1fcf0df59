// Channels on the page: their order, names and bars. Their colours are in theme.css.

import { el } from "./dom.js";
import { label, score } from "./words.js";

const NAMES = {
  visual: "Looks",
  video: "Film as a whole",
  story: "Story",
  caption: "Caption",
  meta: "Title and tags",
  bm25: "Same words",
  ocr: "Text in it",
  transcript: "Speech",
  audio: "Sound",
  recency: "Newness",
  rerank: "Second look",
};
const ORDER = Object.keys(NAMES);

export const channelName = (channel) => NAMES[channel] ?? label(channel);

/** The parts of a score, in the one order that they have everywhere: [channel, part] pairs. */
export function parts(channels) {
  const known = ORDER.filter((channel) => channel in channels);
  const others = Object.keys(channels).filter((channel) => !ORDER.includes(channel));
  return [...known, ...others].map((channel) => [channel, channels[channel]]);
}

/** How long the bar of a result is: negative parts are drawn too. */
export const extent = (result) =>
  Object.values(result.channels).reduce((sum, part) => sum + Math.abs(part), 0);

export const swatch = (channel) =>
  el("span", { class: "swatch", "data-channel": channel, "aria-hidden": "true" });

/** A stacked bar of a result's parts; `longest` is the extent that fills the width. */
export function bar(result, longest) {
  const shown = parts(result.channels).filter(([, part]) => part !== 0);
  const told = shown.map(([channel, part]) => `${channelName(channel)} ${score(part)}`).join(", ");
  const segments = shown.map(([channel, part]) => {
    const segment = el("span", { class: part < 0 ? "minus" : null, "data-channel": channel });
    segment.style.width = `${(100 * Math.abs(part)) / (longest || 1)}%`;
    return segment;
  });
  return el("div", { class: "bar", role: "img", "aria-label": `Score by channel: ${told}` }, segments);
}

/** The parts as rows of numbers. */
export function numbers(result) {
  const shown = parts(result.channels).filter(([, part]) => part !== 0);
  const rows = shown.map(([channel, part]) =>
    el("li", {}, swatch(channel), el("span", {}, channelName(channel)), el("b", {}, score(part))),
  );
  return el("ul", { class: "numbers", "aria-hidden": "true" }, rows);
}

/** The channels that any of the results has a part of. */
export function legend(results) {
  const present = Object.assign({}, ...results.map((result) => result.channels));
  const counts = ([channel]) => results.some((result) => result.channels[channel]);
  const entries = parts(present)
    .filter(counts)
    .map(([channel]) => el("li", {}, swatch(channel), channelName(channel)));
  return el("ul", { class: "legend", "aria-label": "Channels" }, entries);
}
