// What is to be said about an answer beside its results, and what to say when there is none.

import { byId, el, icon } from "./dom.js";
import { channelName } from "./channels.js";
import { plural } from "./words.js";

/** The sentences that go with an answer: what it was asked with, what is missing, what was widened. */
export function remarks(answer) {
  const { asked = {}, degraded = [], widened, cached, at, hidden } = answer;
  const said = [];
  if (at) said.push(`This is how it was answered on ${new Date(at).toLocaleString("en-GB")}.`);
  if (hidden) said.push(`${plural(hidden, "item")} of then must not be shown now.`);
  if (asked.words === "transcript" && asked.text) said.push(`Heard “${asked.text}”.`);
  if (asked.words === "caption" && asked.text) said.push(`It looks like “${asked.text}”.`);
  if (asked.reworded) said.push(`Asked as “${asked.reworded}”, since the words as given found little.`);
  if (asked.read) said.push(`Read in the picture: “${asked.read}”.`);
  for (const { channel, input, reason } of degraded) {
    const what = channel ? `Without ${channelName(channel).toLowerCase()}` : `The ${input} was not used`;
    said.push(`${what}: ${reason}.`);
  }
  if (widened) said.push("Too few items were left at first, so the search went deeper by itself.");
  if (cached === "semantic") said.push("This is the answer to a question that means the same.");
  return said;
}

/** Put a sentence above the results, once. It stays until the next question. */
export function note(text) {
  const notices = byId("notices");
  if ([...notices.children].some((each) => each.textContent === text)) return;
  notices.append(el("p", { class: "notice" }, icon("info"), el("span", {}, text)));
}

/** Take away what was noted of the last question. */
export function unnote() {
  byId("notices").replaceChildren();
}

/** Tell those who listen instead of looking. */
export function say(text) {
  byId("said").textContent = text;
}

/** Put a sentence above the results and say it. */
export function tell(text) {
  note(text);
  say(text);
}

/** Show a state that fills the place of results: a title, a sentence and what can be done. */
export function state(title, sentence, ...actions) {
  const shown = el("div", { class: "state" }, el("h2", {}, title));
  if (sentence) shown.append(el("p", {}, sentence));
  if (actions.length) shown.append(el("p", { class: "buttons" }, actions));
  byId("after").replaceChildren(shown);
  say(`${title}. ${sentence ?? ""}`);
}

/** A reason as a sentence: a capital first, a stop last. */
export const sentence = (reason) =>
  reason && `${reason.charAt(0).toUpperCase()}${reason.slice(1).replace(/[.?!]?$/, (end) => end || ".")}`;

/** What a refusal means to who asked: [title, sentence]. */
export function refusalInWords(error) {
  const detail = sentence(error.message);
  switch (error.status) {
    case 0:
      return navigator.onLine
        ? ["The server does not answer", "It may be starting, or have stopped."]
        : ["You are offline", "The search goes on when the network is back."];
    case 401:
      return ["A token is needed", "This server answers only those who have one."];
    case 403:
      return ["Not allowed", detail || "Your token does not allow this."];
    case 404:
      return ["Not found", detail || "It may have been removed."];
    case 413:
      return ["This file is too large", detail || "Try a smaller one, or a shorter piece of it."];
    case 422:
      return ["This cannot be asked", detail];
    case 429:
      return ["Too many questions", detail || "Wait a moment before the next one."];
    case 503:
      if (error.retryS) return ["The server is busy", "Others are asking too. Wait a moment."];
      return ["Not ready yet", detail || "There is nothing to search yet."];
    case 504:
      return ["This took too long", "Try a shorter question, a shorter piece of the file, or fewer filters."];
    default:
      return ["Something went wrong", detail || "The server could not answer."];
  }
}

/** A button that tries again; it counts down the seconds that the server asked to wait. */
export function retryButton(retryS, again) {
  const button = el("button", { type: "button", class: "primary", onclick: again }, "Try again");
  if (!retryS) return button;
  let left = Math.ceil(retryS);
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left-- > 0) setTimeout(tick, 1000);
  };
  tick();
  return button;
}
