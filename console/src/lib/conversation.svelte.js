// One conversation: what was said, and the answer that is being written.
import { ApiError, streamAnswer } from "./api.svelte.js";
import { historyOf } from "./history.js";
import { requestFor } from "./parameters.svelte.js";
import { additionOf, piecesOf } from "./tokens.js";

const FINISH = { stop: "finished", length: "reached the token limit" };

const LONG_PIECES = 1000;
const LONG_PERIOD_MS = 150;

export class Conversation {
  // {role, content, pieces, state: "done" | "writing" | "stopped" | "failed", note, figures}
  messages = $state.raw([]);
  // Told to screen readers: that an answer is coming, then the whole of it.
  announcement = $state("");
  #abort = $state.raw(null);

  get writing() {
    return this.#abort !== null;
  }

  clear() {
    this.stop();
    this.#abort = null; // what still comes is nobody's
    this.messages = [];
    this.announcement = "Conversation cleared.";
  }

  stop() {
    this.#abort?.abort();
  }

  async send(text) {
    if (this.writing) return;
    this.messages = [...this.messages, { role: "user", content: text, state: "done" }];
    await this.#answer();
  }

  // Throws the last answer away and asks for another.
  async again() {
    if (this.writing) return;
    this.messages = this.messages.slice(
      0,
      this.messages.findLastIndex((each) => each.role === "user") + 1,
    );
    await this.#answer();
  }

  async #answer() {
    const answer = new Answer();
    const abort = new AbortController();
    const asked = this.messages;
    let planned = false;
    const show = () => {
      planned = false;
      if (this.#abort === abort) this.messages = [...asked, answer.snapshot()];
    };
    this.#abort = abort;
    this.announcement = "Writing an answer.";
    show();
    try {
      for await (const chunk of streamAnswer(requestFor(historyOf(asked)), abort.signal)) {
        answer.take(chunk);
        if (planned) continue;
        planned = true;
        // A long text takes the browser longer to lay out than a frame lasts.
        if (answer.length < LONG_PIECES) requestAnimationFrame(show);
        else setTimeout(show, LONG_PERIOD_MS);
      }
      answer.end("done", FINISH[answer.finish] ?? answer.finish ?? "");
    } catch (error) {
      if (abort.signal.aborted) answer.end("stopped", "stopped");
      else answer.end("failed", messageOf(error));
    }
    show();
    if (this.#abort !== abort) return;
    this.#abort = null;
    this.announcement =
      answer.state === "failed" ? `No answer: ${answer.note}` : `Answer: ${answer.content}`;
  }
}

function messageOf(error) {
  if (error instanceof ApiError && error.status === 401) return "the server wants a key";
  if (error instanceof TypeError) return "the server cannot be reached";
  return error.message;
}

class Answer {
  get length() {
    return this.#pieces.length;
  }

  state = "writing";
  note = "";
  content = "";
  finish = null;
  #pieces = [];
  #began = performance.now();
  #first = null;
  #last = null;
  #tokens = 0;
  #usage = null;

  take(chunk) {
    if (chunk.usage) this.#usage = chunk.usage;
    const choice = chunk.choices?.find(({ index }) => index === 0);
    if (!choice) return;
    if (choice.finish_reason) this.finish = choice.finish_reason;
    const { content, entries } = additionOf(choice);
    if (!content && entries.length === 0) return;
    this.#last = performance.now();
    this.#first ??= this.#last;
    this.#tokens += entries.length || 1;
    this.content += content;
    this.#pieces.push(...piecesOf(content, entries));
  }

  end(state, note) {
    this.state = state;
    this.note = note;
  }

  snapshot() {
    const tokens = this.#usage?.completion_tokens ?? this.#tokens;
    const span = (this.#last - this.#first) / 1000;
    return {
      role: "assistant",
      content: this.content,
      pieces: [...this.#pieces],
      state: this.state,
      note: this.note,
      figures: {
        tokens,
        first: this.#first === null ? null : (this.#first - this.#began) / 1000,
        // A burst that the browser read at once says nothing about speed.
        rate: tokens > 1 && span > 0.05 ? (tokens - 1) / span : null,
      },
    };
  }
}

export const conversation = new Conversation();
