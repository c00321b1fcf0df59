// The query as the address bar tells it (so that it can be shared and gone back to), and its
// filters as the condition that the API understands.

export const OPTIONS = ["plan", "profile", "reranker", "diversity"];
const FILTER = "f.";

/** What a question is made of; `file` is a File or null, `filters` maps a field to its values.
 * With `past` it is the question of that id, with the answer of then; `item` is the explained one. */
export function empty() {
  const past = { past: null, item: null };
  return { text: "", like: null, file: null, filters: new Map(), options: {}, ...past };
}

export const isEmpty = (query) => !(query.text || query.like || query.file || query.past);

/** Read a question from `?q=…&like=…&f.kind=image&plan=…`, or from `?past=…&item=…`. */
export function read(search) {
  const given = new URLSearchParams(search);
  if (given.get("past")) return past(given.get("past"), given.get("item"));
  const query = { ...empty(), text: given.get("q") ?? "", like: given.get("like") };
  for (const [name, value] of given) {
    if (name.startsWith(FILTER)) {
      const field = name.slice(FILTER.length);
      query.filters.set(field, [...(query.filters.get(field) ?? []), value]);
    } else if (OPTIONS.includes(name) && value) query.options[name] = value;
  }
  return query;
}

/** The question of an id as it was answered, explained for one of its items or for none. */
export const past = (id, item = null) => ({ ...empty(), past: id, item });

/** Write a question as read() reads it; a file cannot be written. */
export function write(query) {
  const given = new URLSearchParams();
  if (query.past) {
    given.set("past", query.past);
    if (query.item) given.set("item", query.item);
    return `?${given}`;
  }
  if (query.text) given.set("q", query.text);
  if (query.like) given.set("like", query.like);
  for (const [field, values] of query.filters)
    for (const value of values) given.append(FILTER + field, value);
  for (const name of OPTIONS) if (query.options[name]) given.set(name, query.options[name]);
  const text = given.toString();
  return text ? `?${text}` : "./";
}

/** Compose filters to a condition: any value of a field, all fields; null for none. */
export function where(filters) {
  const conditions = [...filters]
    .filter(([, values]) => values.length)
    .map(([field, values]) => `${quoted(field, '"')} IN (${values.map(literal).join(", ")})`);
  return conditions.length ? conditions.join(" AND ") : null;
}

/** Add a value to a field's filter, or take it away. */
export function toggled(filters, field, value) {
  const values = filters.get(field) ?? [];
  const others = values.filter((each) => each !== value);
  const changed = new Map(filters);
  if (others.length === values.length) changed.set(field, [...values, value]);
  else if (others.length) changed.set(field, others);
  else changed.delete(field);
  return changed;
}

const quoted = (text, mark) => mark + text.replaceAll(mark, mark + mark) + mark;
const literal = (value) => quoted(value, "'");
