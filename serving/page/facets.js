// Filters from the metadata of what was found: a group a field, a box a value.

import { byId, el } from "./dom.js";
import { kindName, label } from "./words.js";

const SHOWN = 7;
const wide = matchMedia("(min-width: 1000px)");

/** The name of a value of a field as people read it. */
export const valueName = (field, value) => (field === "kind" ? kindName(value) : value);

export class Facets {
  /** `toggle(field, value)` is called when a value is chosen, or not any more. */
  constructor(toggle) {
    this.toggle = toggle;
    this.root = byId("facets");
    this.fields = byId("fields");
    this.known = new Map();
    const adapt = () => (this.root.open = wide.matches);
    wide.addEventListener("change", adapt);
    adapt();
    this.fields.addEventListener("submit", (event) => event.preventDefault());
  }

  /** Show the counts of an answer; `again` when only the filters differ from the last one. */
  show(counts, filters, again) {
    if (!again) this.known.clear();
    for (const [field, values] of Object.entries(counts ?? {}))
      this.remember(field, Object.entries(values).sort((a, b) => b[1] - a[1]).map(([value]) => value));
    for (const [field, values] of filters) this.remember(field, values);
    const focused = document.activeElement?.id;
    const groups = [...this.known]
      .map(([field, values]) => this.group(field, [...values], counts?.[field] ?? {}, filters))
      .filter(Boolean);
    this.fields.replaceChildren(...groups);
    this.root.hidden = !groups.length;
    const chosen = [...filters.values()].flat().length;
    this.root.querySelector("summary").textContent = chosen ? `Filters (${chosen})` : "Filters";
    if (focused) byId(focused)?.focus();
  }

  /** Values keep the order in which they were met, so that nothing moves under the pointer. */
  remember(field, values) {
    if (!this.known.has(field)) this.known.set(field, new Set());
    for (const value of values) this.known.get(field).add(value);
  }

  group(field, values, counts, filters) {
    const chosen = filters.get(field) ?? [];
    if (values.length < 2 && !chosen.length) return null;
    const boxes = values.map((value) => this.box(field, value, counts, filters));
    const group = el("fieldset", {}, el("legend", {}, label(field)), boxes.slice(0, SHOWN));
    const rest = boxes.slice(SHOWN);
    if (rest.length) {
      const open = values.slice(SHOWN).some((value) => chosen.includes(value));
      const summary = el("summary", {}, `${rest.length} more`);
      group.append(el("details", { class: "rest", open }, summary, rest));
    }
    return group;
  }

  box(field, value, counts, filters) {
    const chosen = filters.get(field) ?? [];
    const input = el("input", {
      type: "checkbox",
      id: `${field}-${value}`,
      "data-field": field,
      value,
      onchange: () => this.toggle(field, value),
    });
    input.checked = chosen.includes(value);
    // Values beside a chosen one are not counted: the answer holds only the chosen one's items.
    const count = counts[value] ?? (chosen.length ? "" : 0);
    return el(
      "label",
      { class: "box-row" },
      input,
      el("span", { class: "name" }, valueName(field, value)),
      el("span", { class: "count" }, String(count)),
    );
  }
}

/** Show the chosen values as pills that take themselves away. */
export function pills(filters, toggle, clear) {
  const made = [...filters].flatMap(([field, values]) =>
    values.map((value) =>
      el(
        "button",
        {
          type: "button",
          class: "pill",
          "aria-label": `Remove the filter ${label(field)}: ${valueName(field, value)}`,
          onclick: () => toggle(field, value),
        },
        `${label(field)}: ${valueName(field, value)}`,
        el("span", { "aria-hidden": "true" }, " ×"),
      ),
    ),
  );
  if (made.length > 1)
    made.push(el("button", { type: "button", class: "link", onclick: clear }, "Clear all"));
  byId("pills").replaceChildren(...made);
}
