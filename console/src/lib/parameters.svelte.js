// What a chat asks of the model. A field left empty is left to the model's own default.
import { readSetting, writeSetting } from "./store.js";

export const fields = [
  {
    name: "temperature",
    label: "Temperature",
    min: 0,
    max: 2,
    step: 0.05,
    help: "0 always takes the most likely token",
  },
  {
    name: "top_p",
    label: "Top p",
    min: 0,
    max: 1,
    step: 0.01,
    help: "Draw from the tokens that make up this share of the probability",
  },
  {
    name: "top_k",
    label: "Top k",
    min: 0,
    step: 1,
    help: "Draw from this many of the most likely tokens; 0: from all",
  },
  {
    name: "min_p",
    label: "Min p",
    min: 0,
    max: 1,
    step: 0.01,
    help: "Drop tokens less likely than this share of the most likely one",
  },
  {
    name: "max_tokens",
    label: "Max tokens",
    min: 1,
    step: 1,
    help: "The answer ends after so many",
  },
  { name: "seed", label: "Seed", min: 0, step: 1, help: "The same seed gives the same answer" },
  {
    name: "repetition_penalty",
    label: "Repetition",
    min: 0.1,
    max: 2,
    step: 0.05,
    help: "Above 1 makes tokens that were used less likely",
  },
  {
    name: "presence_penalty",
    label: "Presence",
    min: -2,
    max: 2,
    step: 0.1,
    help: "Taken off once from tokens that were used",
  },
  {
    name: "frequency_penalty",
    label: "Frequency",
    min: -2,
    max: 2,
    step: 0.1,
    help: "Taken off for each time that a token was used",
  },
];

const TEXT_TOKENS_MAX = 200; // where nothing else ends a text

const defaults = {
  mode: "chat", // or "text": the last message is continued, without a template
  model: "",
  system: "",
  stop: "",
  extra: "",
  alternatives: 5,
  numbers: {},
};

export const parameters = $state({
  ...structuredClone(defaults),
  ...readSetting("parameters", {}),
});

export function saveParameters() {
  writeSetting("parameters", $state.snapshot(parameters));
}

export function resetParameters() {
  Object.assign(parameters, structuredClone(defaults), { model: parameters.model });
}

// Fields of the API given as JSON; throws an Error that says what is wrong.
export function extraFields(text) {
  if (!text.trim()) return {};
  let extra;
  try {
    extra = JSON.parse(text);
  } catch (error) {
    throw new Error(`More fields: ${error.message}`);
  }
  if (extra === null || typeof extra !== "object" || Array.isArray(extra)) {
    throw new Error('More fields: write an object, such as {"ignore_eos": true}');
  }
  return extra;
}

// What is sent for the last of `messages`, [{role, content}]: {path, body}.
export function requestFor(messages) {
  const body = { stream: true, stream_options: { include_usage: true } };
  if (parameters.model) body.model = parameters.model;
  const stop = parameters.stop.split("\n").filter((line) => line !== "");
  if (stop.length > 0) body.stop = stop;
  if (parameters.mode === "text") body.max_tokens = TEXT_TOKENS_MAX;
  for (const { name } of fields) {
    const value = parameters.numbers[name];
    if (typeof value === "number" && Number.isFinite(value)) body[name] = value;
  }
  const extra = extraFields(parameters.extra);
  if (parameters.mode === "text") {
    if (parameters.alternatives > 0) body.logprobs = parameters.alternatives;
    return {
      path: "/v1/completions",
      body: { prompt: messages.at(-1).content, ...body, ...extra },
    };
  }
  if (parameters.alternatives > 0) {
    Object.assign(body, { logprobs: true, top_logprobs: parameters.alternatives });
  }
  const system = parameters.system.trim() ? [{ role: "system", content: parameters.system }] : [];
  return {
    path: "/v1/chat/completions",
    body: { messages: [...system, ...messages], ...body, ...extra },
  };
}
