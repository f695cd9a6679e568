// OpenAI's responses through the `openai` package, with the model that ships.
//
//   node responses_test.mjs BRISK
import assert from "node:assert/strict";
import { KEY, MODEL, becomesIdle, load, run, serve } from "./harness.mjs";

const OpenAI = (await load("openai")).default;
const { address, stop } = await serve(process.argv[2]);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: KEY, maxRetries: 0 });

const weather = {
  type: "function", name: "get_weather", description: "Tells the weather.", strict: true,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"],
                additionalProperties: false },
};
const ask = (input, more = {}) => ({ model: MODEL, input, temperature: 0, ...more });

const tests = {
  async answers() {
    const response = await client.responses.create(ask("Copy: a b c"));
    assert.equal(response.object, "response");
    assert.equal(response.status, "completed");
    assert.equal(response.output_text, "a b c");
    assert.equal(response.output[0].role, "assistant");
    assert.equal(response.error, null);
    assert.ok(response.usage.input_tokens > 0 && response.usage.output_tokens > 0);
    assert.equal(response.usage.total_tokens,
                 response.usage.input_tokens + response.usage.output_tokens);
  },

  async readsItemsAndInstructions() {
    const rule = "Answer in capital letters.";
    const plain = await client.responses.create(ask("Copy: a b c", { instructions: rule }));
    const items = await client.responses.create(ask([
      { role: "developer", content: rule },
      { type: "message", role: "user", content: [{ type: "input_text", text: "Copy: a b c" }] },
    ]));
    assert.equal(items.output_text, plain.output_text);
    assert.equal(plain.instructions, rule);
    assert.equal(items.usage.input_tokens, plain.usage.input_tokens);
  },

  async saysThatItWasCut() {
    const response = await client.responses.create(ask("Who are you?", { max_output_tokens: 3 }));
    assert.equal(response.status, "incomplete");
    assert.deepEqual(response.incomplete_details, { reason: "max_output_tokens" });
    assert.equal(response.usage.output_tokens, 3);
  },

  async streamsTypedEvents() {
    const kinds = [];
    let text = "";
    let sequence = 0;
    let last;
    for await (const event of await client.responses.create(ask("Copy: a b c d", { stream: true }))) {
      assert.equal(event.sequence_number, sequence++);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (kinds.at(-1) !== event.type) kinds.push(event.type);
      last = event;
    }
    assert.equal(text, "a b c d");
    assert.deepEqual(kinds, [
      "response.created", "response.in_progress", "response.output_item.added",
      "response.content_part.added", "response.output_text.delta", "response.output_text.done",
      "response.content_part.done", "response.output_item.done", "response.completed"]);
    assert.equal(last.response.output[0].content[0].text, text);
    assert.ok(last.response.usage.output_tokens > 0);
  },

  async streamsThroughTheHelper() {
    const stream = client.responses.stream(ask("What is 7 + 5?"));
    const response = await stream.finalResponse();
    assert.match(response.output_text, /12$/);
    const cut = await client.responses.stream(ask("Who are you?", { max_output_tokens: 3 }))
      .finalResponse();
    assert.equal(cut.status, "incomplete");
  },

  async callsFunctions() {
    const first = await client.responses.create(ask("What is the weather in Rome?", { tools: [weather] }));
    const call = first.output.find((item) => item.type === "function_call");
    assert.equal(call.name, "get_weather");
    assert.deepEqual(JSON.parse(call.arguments), { city: "Rome" });
    const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
    const next = await client.responses.create(ask([result], {
      previous_response_id: first.id, tools: [weather], tool_choice: "none", max_output_tokens: 20 }));
    const again = await client.responses.create(ask([
      { role: "user", content: "What is the weather in Rome?" }, ...first.output, result,
    ], { tools: [weather], tool_choice: "none", max_output_tokens: 20 }));
    assert.equal(next.output_text, again.output_text);
    assert.equal(next.previous_response_id, first.id);
  },

  async streamsFunctionCalls() {
    let pieces = "";
    const done = [];
    const request = ask("What is the weather in Rome?", { tools: [weather], stream: true });
    for await (const event of await client.responses.create(request)) {
      if (event.type === "response.function_call_arguments.delta") pieces += event.delta;
      if (event.type === "response.function_call_arguments.done") done.push(event.arguments);
    }
    assert.deepEqual(done, [pieces]);
    assert.deepEqual(JSON.parse(pieces), { city: "Rome" });
    const must = await client.responses.create(ask("Who are you?", {
      tools: [weather], tool_choice: { type: "function", name: "get_weather" }, temperature: 1 }));
    assert.equal(typeof JSON.parse(must.output[0].arguments).city, "string");
  },

  async obeysASchema() {
    const response = await client.responses.create(ask("As JSON: Tom is 7 years old.", {
      text: { format: { type: "json_schema", name: "person", strict: true, schema: {
        type: "object", properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer" } },
        required: ["name", "age"], additionalProperties: false } } },
    }));
    assert.deepEqual(JSON.parse(response.output_text), { name: "Tom", age: 7 });
  },

  async keepsResponsesUntilTheyAreDeleted() {
    const first = await client.responses.create(ask("My name is Tom."));
    assert.deepEqual((await client.responses.retrieve(first.id)).output, first.output);
    const second = await client.responses.create(ask("Copy: a b", { previous_response_id: first.id }));
    assert.ok(second.usage.input_tokens > first.usage.input_tokens + 5);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
    const third = await client.responses.create(ask("Copy: a", { previous_response_id: second.id }));
    assert.equal(third.status, "completed");
    const secret = await client.responses.create(ask("Copy: a b", { store: false }));
    await assert.rejects(client.responses.retrieve(secret.id), OpenAI.NotFoundError);
  },

  async refusesClearly() {
    const wrong = (more, input = "Hello") =>
      client.responses.create(ask(input, more)).catch((caught) => caught);
    assert.equal((await wrong({ temperature: 3 })).param, "temperature");
    assert.equal((await wrong({ previous_response_id: "resp_1" })).code, "previous_response_not_found");
    assert.equal((await wrong({ tools: [{ type: "web_search" }] })).param, "tools[0].type");
    assert.equal((await wrong({}, [{ role: "king", content: "a" }])).param, "input[0].role");
    assert.equal((await wrong({ background: true })).param, "background");
    assert.ok((await wrong({ model: "other" })) instanceof OpenAI.NotFoundError);
  },

  async aborts() {
    const stream = await client.responses.create(
      ask("Tell me a story about a fox named Tom.", { stream: true }));
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") break;  // the package aborts the request
    }
    await becomesIdle(address);
  },
};

await run(tests, stop);
