// Why in numbers: the table of parts that add up to a score, and the steps that a query took.

import { bar, channelName, extent, parts, swatch } from "./channels.js";
import { el } from "./dom.js";
import { lasted, milliseconds, score } from "./words.js";

/** What evidence is multiplied by in this item: weights, scaled as its profile scales them. */
function factors({ channels }, evidence, weights) {
  const told = Object.keys(evidence).filter((channel) => channel in channels && channel in weights);
  const product = (channel) => evidence[channel] * weights[channel];
  const total = (value) => told.reduce((sum, channel) => sum + value(channel), 0);
  const scale = total((channel) => channels[channel]) / total(product);
  const fits = told.every((channel) => Math.abs(product(channel) * scale - channels[channel]) < 1e-6);
  return Object.fromEntries(told.map((channel) => [channel, weights[channel] * (fits ? scale : 1)]));
}

/** The table of parts. `candidate` brings raw similarities and evidence, where they are known. */
export function sum(result, candidate, weights) {
  const shown = parts(result.channels);
  const longest = Math.max(...shown.map(([, part]) => Math.abs(part)), 1e-9);
  const counts = factors(result, candidate?.evidence ?? {}, weights);
  const number = (value, digits) => (value === undefined || value === null ? "" : value.toFixed(digits));
  const rows = shown.map(([channel, part]) => {
    const length = el("span", { class: part < 0 ? "length minus" : "length", "data-channel": channel });
    length.style.width = `${(100 * Math.abs(part)) / longest}%`;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, swatch(channel), channelName(channel)),
      el("td", {}, number(candidate?.similarity?.[channel], 3)),
      el("td", {}, number(candidate?.evidence?.[channel], 2)),
      el("td", {}, number(counts[channel], 2)),
      el("td", { class: "drawn" }, length),
      el("td", {}, el("b", {}, score(part))),
    );
  });
  const heads = [
    ["Channel", "Where it was found"],
    ["Raw", "Similarity as the channel measures it"],
    ["Evidence", "How much that says, from 0 to 1"],
    ["Weight", "How much the channel counts for this item"],
    ["", null],
    ["Part", "What it adds to the score"],
  ].map(([name, title]) => el("th", { scope: "col", title }, name));
  const matched = result.matched?.length
    ? el("p", { class: "quiet" }, "Matched words: ", result.matched.map((word) => [el("mark", {}, word), " "]).flat())
    : null;
  const table = el(
    "table",
    { class: candidate ? "parts" : "parts brief" },
    el("thead", {}, el("tr", {}, heads)),
    el("tbody", {}, rows),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: "4" }, "Score"),
      el("td", { class: "drawn" }),
      el("td", {}, el("b", {}, score(result.score))))),
  );
  return el("div", {}, el("h3", {}, "Why it was found"), bar(result, extent(result)), table, matched);
}

/** The steps of a query as bars on one line of time; what runs at once stands below its step. */
export function trace(steps, before = false) {
  if (!steps?.length) return el("p", { class: "quiet" }, "Answered from the cache.");
  const total = lasted(steps) || 1;
  const rows = steps.map((step) => {
    const span = (ms, kind) => {
      const line = el("span", { class: kind });
      line.style.marginLeft = `${(100 * step.at_ms) / total}%`;
      line.style.width = `${Math.max((100 * Math.min(ms, total - step.at_ms)) / total, 0.6)}%`;
      return line;
    };
    const within = Object.entries(step.parts ?? {}).sort((a, b) => b[1] - a[1]);
    const told = within.map(([name, ms]) => `${channelName(name).toLowerCase()} ${milliseconds(ms)}`);
    return el(
      "li",
      { title: told.join(", ") || null },
      el("span", { class: "step" }, step.step.replaceAll("_", " ")),
      el("span", { class: "track" }, span(step.ms, "took"), within.map(([, ms]) => span(ms, "part"))),
      el("span", { class: "ms" }, milliseconds(step.ms)),
    );
  });
  return el("div", {}, el("h3", {}, `${before ? "Steps when it was first asked" : "Steps"}, ${milliseconds(total)} in all`), el("ol", { class: "trace" }, rows));
}
