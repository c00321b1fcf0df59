// Numbers, times and names as people read them.

/** 75.4 → "1:15", 3675 → "1:01:15". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A part of an item: "page 3", "0:12–0:15", or null. */
export function place(segment) {
  if (!segment) return null;
  if (segment.start_s !== null && segment.start_s !== undefined) {
    const end = segment.end_s ?? segment.start_s;
    const [from, to] = [clock(segment.start_s), clock(end)];
    return from === to ? from : `${from}–${to}`;
  }
  return segment.page !== null && segment.page !== undefined ? `page ${segment.page}` : null;
}

/** A score or a part of it. */
export const score = (value) => value.toFixed(4).replace("-", "−");

export function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** What to call an item: its title, else the name of its file. */
export function nameOf({ title, uri, item_id: id }) {
  const file = (uri ?? "").split(/[#?]/)[0].split("/").pop();
  try {
    return title || decodeURIComponent(file) || id;
  } catch {
    return file || id;
  }
}

/** usage_rights → "Usage rights". */
export function label(name) {
  const spaced = name.replaceAll("_", " ").trim();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const KINDS = { image: "Image", audio: "Sound", video: "Film", text: "Text", document: "Document" };
export const kindName = (kind) => KINDS[kind] ?? label(kind ?? "item");
export const kindIcon = (kind) =>
  ["image", "audio", "video"].includes(kind) ? kind : "document";

/** Live values in words: price, availability and whatever else the shop tells. */
export function live(values) {
  return Object.entries(values ?? {})
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => {
      if (name === "price") return `price ${typeof value === "number" ? value.toFixed(2) : value}`;
      if (name === "availability") return label(String(value)).toLowerCase();
      return `${label(name).toLowerCase()} ${value}`;
    })
    .join(" · ");
}

/** How long steps took from the first one's begin to the last one's end, in milliseconds. */
export const lasted = (steps) => Math.max(0, ...steps.map((step) => step.at_ms + step.ms));
