// The calls of the API that the page makes, and what a refusal means.

const HERE = "/v1";
const KEPT = "mediadex-token";
const SENDABLE = /^[!-~]+$/; // Others cannot stand in a header.

/** An answer that is none. `status` is 0 when the server could not be reached. */
export class Refused extends Error {
  constructor(status, message, retryS = null) {
    super(message);
    this.status = status;
    this.retryS = retryS;
  }
}

export class Api {
  /** `askToken(again)` is asked when the server wants a token; it resolves to one, or to null. */
  constructor(askToken) {
    this.askToken = askToken;
    this.asking = null;
  }

  get token() {
    const kept = sessionStorage.getItem(KEPT);
    return SENDABLE.test(kept ?? "") ? kept : null;
  }

  /** Ask for `k` results from `offset` on: by a file, by an item that is like them, or by text;
   * or look up those of a question of the past. */
  search(query, where, k, offset, signal) {
    const { text, file, like, options, past } = query;
    if (past) return this.explain(past, signal);
    const asked = { ...options, where, k, offset: offset || null, facets: !offset };
    if (like) return this.get(`/similar/${encodeURIComponent(like)}?${pairs(asked)}`, signal);
    if (file) {
      const body = new FormData();
      for (const [name, value] of pairs({ ...asked, text })) body.set(name, value);
      body.set("file", file, file.name || "file");
      return this.call("/search/file", { method: "POST", body, signal });
    }
    if (asked.diversity) asked.diversity = Number(asked.diversity);
    // While the first results are looked at, the server gets the next ones ready.
    return this.post("/search", { ...given(asked), text, prefetch: true }, signal);
  }

  item(id, signal) {
    return this.get(`/items/${encodeURIComponent(id)}`, signal);
  }

  explain(queryId, signal) {
    return this.get(`/explain/${encodeURIComponent(queryId)}`, signal);
  }

  replay(queryId) {
    return this.post(`/replay/${encodeURIComponent(queryId)}`);
  }

  feedback(queryId, itemId, kind) {
    return this.post("/feedback", { query_id: queryId, item_id: itemId, kind });
  }

  get(path, signal) {
    return this.call(path, { signal });
  }

  post(path, document = null, signal = undefined) {
    const body = document && JSON.stringify(document);
    const headers = document ? { "Content-Type": "application/json" } : {};
    return this.call(path, { method: "POST", body, headers, signal });
  }

  async call(path, request) {
    const response = await this.fetch(HERE + path, request);
    return response.status === 204 ? null : response.json();
  }

  /** Fetch bytes or a document with the token, asking for one where the server wants it. */
  async fetch(url, request = {}) {
    const sent = this.token;
    const headers = { ...request.headers, ...(sent ? { Authorization: `Bearer ${sent}` } : {}) };
    let response;
    try {
      response = await fetch(url, { ...request, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "The server does not answer.");
    }
    if (response.status === 401 && (await this.renew(sent))) return this.fetch(url, request);
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** Get another token than the one that was refused; false when there is none. */
  async renew(refused) {
    if (this.token !== refused) return true;
    this.asking ??= this.askToken(refused !== null).finally(() => (this.asking = null));
    const token = await this.asking;
    if (token) sessionStorage.setItem(KEPT, token);
    return Boolean(token);
  }
}

const given = (values) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== ""));

const pairs = (values) => new URLSearchParams(given(values));

async function refusal(response) {
  const { status } = response;
  const after = Number(response.headers.get("Retry-After"));
  const document = await response.json().catch(() => ({}));
  return new Refused(status, sentence(document.detail), after > 0 ? after : null);
}

/** FastAPI tells what is wrong as a text, or as a list of places and messages. */
function sentence(detail) {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) return "";
  return detail.map((each) => `${(each.loc ?? []).slice(1).join(".")}: ${each.msg}`).join("; ");
}
