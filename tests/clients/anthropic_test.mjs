// The `@anthropic-ai/sdk` package against a running `brisk serve` with the model that ships.
//
//   node anthropic_test.mjs BRISK
import assert from "node:assert/strict";
import { KEY, MODEL, becomesIdle, load, run, serve } from "./harness.mjs";

const Anthropic = (await load("@anthropic-ai/sdk")).default;
const { address, stop } = await serve(process.argv[2]);
const client = new Anthropic({ baseURL: address, apiKey: KEY, maxRetries: 0 });

const weather = {
  name: "get_weather", description: "Tells the weather.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const timer = {
  name: "set_timer",
  input_schema: { type: "object", properties: { minutes: { type: "integer", minimum: 1, maximum: 90 } },
                  required: ["minutes"] },
};
const ask = (question, more = {}) => ({
  model: MODEL, max_tokens: 60, temperature: 0, messages: [{ role: "user", content: question }], ...more,
});

const tests = {
  async chats() {
    const message = await client.messages.create(ask("Who are you?", { system: "Be kind." }));
    assert.equal(message.type, "message");
    assert.equal(message.role, "assistant");
    assert.equal(message.model, MODEL);
    assert.equal(message.content.length, 1);
    assert.equal(message.content[0].type, "text");
    assert.ok(message.content[0].text.length > 0);
    assert.match(message._request_id, /./);
    assert.ok(message.usage.input_tokens > 5 && message.usage.output_tokens > 1);
  },

  async readsBlocks() {
    const answer = async (content) =>
      (await client.messages.create(ask(content))).content[0].text;
    assert.equal(await answer([{ type: "text", text: "What is 7 + 5?" }]), await answer("What is 7 + 5?"));
    assert.match(await answer("What is 7 + 5?"), /12$/);
  },

  async saysWhyItStopped() {
    const short = await client.messages.create(ask("Who are you?", { max_tokens: 2 }));
    assert.equal(short.stop_reason, "max_tokens");
    assert.equal(short.usage.output_tokens, 2);
    const whole = await client.messages.create(ask("Copy: a b c"));
    assert.equal(whole.stop_reason, "end_turn");
    assert.equal(whole.content[0].text, "a b c");
    const stopped = await client.messages.create(ask("Copy: a b c", { stop_sequences: ["x", " b"] }));
    assert.equal(stopped.stop_reason, "stop_sequence");
    assert.equal(stopped.stop_sequence, " b");
    assert.equal(stopped.content[0].text, "a");
  },

  async continuesAPrefill() {
    const message = await client.messages.create(ask("Copy: a b c", {
      messages: [{ role: "user", content: "Copy: a b c" }, { role: "assistant", content: "a b" }],
    }));
    assert.equal(message.content[0].text, " c");
  },

  async streamsEveryEvent() {
    const kinds = [];
    let text = "";
    for await (const event of await client.messages.create(ask("Copy: a b c d e", { stream: true }))) {
      if (event.type === "content_block_delta") text += event.delta.text;
      if (kinds.at(-1) !== event.type) kinds.push(event.type);
    }
    assert.equal(text, "a b c d e");
    assert.deepEqual(kinds.filter((kind) => kind !== "ping"),
                     ["message_start", "content_block_start", "content_block_delta",
                      "content_block_stop", "message_delta", "message_stop"]);
  },

  async streamsThroughTheHelper() {
    const request = ask("Tell me a story about a fox named Tom.", { temperature: 1, top_k: 3, top_p: 0.9 });
    const stream = client.messages.stream(request);
    let text = "";
    stream.on("text", (delta) => { text += delta; });
    const message = await stream.finalMessage();
    assert.equal(message.content[0].text, text);
    assert.equal(message.usage.output_tokens, 60);
    assert.equal(message.stop_reason, "max_tokens");
  },

  async callsTools() {
    const request = ask("What is the weather in Rome?", { tools: [weather, timer] });
    const message = await client.messages.create(request);
    assert.equal(message.stop_reason, "tool_use");
    assert.deepEqual(message.content.map(({ type, name, input }) => ({ type, name, input })),
                     [{ type: "tool_use", name: "get_weather", input: { city: "Rome" } }]);
    const streamed = await client.messages.stream(request).finalMessage();
    assert.deepEqual(streamed.content[0].input, { city: "Rome" });
    assert.equal(streamed.stop_reason, "tool_use");
    const next = await client.messages.create({ ...request, messages: [
      ...request.messages, { role: "assistant", content: message.content },
      { role: "user", content: [{ type: "tool_result", tool_use_id: message.content[0].id,
                                  content: [{ type: "text", text: "sunny" }] }] }] });
    assert.equal(next.type, "message");
  },

  async isToldWhichTool() {
    const choose = async (tool_choice) => (await client.messages.create(
      ask("Who are you?", { tools: [weather, timer], tool_choice, temperature: 1 }))).content;
    const [named, ...others] = await choose({ type: "tool", name: "set_timer" });
    assert.equal(named.name, "set_timer");
    assert.ok(named.input.minutes >= 1 && named.input.minutes <= 90);
    assert.equal(others.length, 0);
    const any = await choose({ type: "any", disable_parallel_tool_use: true });
    assert.deepEqual(any.map((block) => block.type), ["tool_use"]);
    const none = await choose({ type: "none" });
    assert.ok(none.every((block) => block.type === "text"));
  },

  async countsTokens() {
    const { input_tokens } = await client.messages.countTokens({
      model: MODEL, messages: [{ role: "user", content: "What is 7 + 5?" }] });
    const message = await client.messages.create(ask("What is 7 + 5?"));
    const { usage } = message;
    assert.equal(input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
    const more = await client.messages.countTokens({
      model: MODEL, tools: [weather], messages: [{ role: "user", content: "What is 7 + 5?" }] });
    assert.ok(more.input_tokens > input_tokens);
  },

  async refusesClearly() {
    const wrong = (more) => client.messages.create(ask("Hello", more)).catch((caught) => caught);
    const hot = await wrong({ temperature: 1.5 });
    assert.ok(hot instanceof Anthropic.BadRequestError);
    assert.equal(hot.error.type, "error");
    assert.equal(hot.error.error.type, "invalid_request_error");
    assert.match(hot.message, /temperature must be between 0 and 1/);
    assert.ok((await wrong({ model: "other" })) instanceof Anthropic.NotFoundError);
    assert.match((await wrong({ max_tokens: undefined })).message, /max_tokens is missing/);
    assert.match((await wrong({ messages: [] })).message, /messages must be/);
    const stranger = new Anthropic({ baseURL: address, apiKey: "wrong", maxRetries: 0 });
    const refused = await stranger.messages.create(ask("Hello")).catch((caught) => caught);
    assert.ok(refused instanceof Anthropic.AuthenticationError);
    assert.equal(refused.error.error.type, "authentication_error");
  },

  async abortsInTheMiddle() {
    const stream = await client.messages.create(
      ask("Tell me a story about a fox named Tom.", { stream: true, max_tokens: 200 }));
    for await (const event of stream) {
      if (event.type === "content_block_delta") break;  // the package aborts the request
    }
    const controller = new AbortController();
    const pending = client.messages.create(ask("Who are you?", { max_tokens: 200 }),
                                           { signal: controller.signal });
    controller.abort();
    await assert.rejects(pending, Anthropic.APIUserAbortError);
    await becomesIdle(address);
  },
};

await run(tests, stop);
