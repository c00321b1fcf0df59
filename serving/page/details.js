// What is known of an item: its metadata, where it comes from, and the parts that can be looked at.

import { definitions, el } from "./dom.js";
import { clock, label } from "./words.js";

const MOST_PARTS = 24;
const ELSEWHERE = ["kind", "title", "content_hash"];

/** The item in full; `show(segment)` plays or enlarges a part. */
export function details(item, pictures, show) {
  const known = Object.entries({ ...item.attributes, ...item.live })
    .filter(([name]) => !ELSEWHERE.includes(name))
    .map(([name, value]) => [label(name), inWords(value)])
    .filter(([, value]) => value);
  return el(
    "div",
    {},
    strip(item, pictures, show),
    el("h3", {}, "The item"),
    definitions([
      ...known,
      ["Id", item.item_id],
      ["Comes from", origins(item)],
      ["Content", item.content_hash ? el("code", {}, item.content_hash.slice(0, 16)) : null],
    ]),
  );
}

const origins = (item) =>
  [...new Set((item.origins ?? []).map((each) => each.uri))].join("\n") || item.uri;

function inWords(value) {
  if (value === null || value === undefined || value === "") return null;
  if (Array.isArray(value)) return value.map(inWords).filter(Boolean).join(", ") || null;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Pages, keyframes and pieces of sound, side by side. */
function strip(item, pictures, show) {
  const segments = (item.segments ?? []).filter((each) => each.derivative || each.thumbnail);
  if (segments.length < 2 && item.kind !== "audio") return null;
  const parts = segments.slice(0, MOST_PARTS).map((segment) => {
    const at = segment.start_s ?? null;
    const name = at !== null ? clock(at) : segment.page ? `page ${segment.page}` : segment.kind;
    const kind = segment.kind === "sound" ? "audio" : "image";
    return el(
      "li",
      {},
      el(
        "button",
        { type: "button", onclick: () => show(segment), "aria-label": `${label(segment.kind)} ${name}` },
        pictures.frame(segment.thumbnail, kind),
        name,
      ),
    );
  });
  if (!parts.length) return null;
  const more = segments.length - parts.length;
  return el(
    "div",
    {},
    el("h3", {}, more ? `Parts, the first ${parts.length} of ${segments.length}` : "Parts"),
    el("ol", { class: "strip" }, parts),
  );
}
