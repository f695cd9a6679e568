// The `@langchain/openai` package with the model that ships.
//
//   node langchain_test.mjs BRISK
import assert from "node:assert/strict";
import { KEY, MODEL, becomesIdle, load, run, serve } from "./harness.mjs";

const { ChatOpenAI } = await load("@langchain/openai");
const { HumanMessage, SystemMessage, ToolMessage } = await load("@langchain/core/messages");
const { address, stop } = await serve(process.argv[2]);
const make = (more = {}) => new ChatOpenAI({
  model: MODEL, apiKey: KEY, temperature: 0, maxRetries: 0,
  configuration: { baseURL: `${address}/v1` }, ...more,
});

const weather = {
  type: "function",
  function: { name: "get_weather", description: "Tells the weather.",
              parameters: { type: "object", properties: { city: { type: "string" } },
                            required: ["city"], additionalProperties: false } },
};
const person = {
  title: "person", type: "object",
  properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer" } },
  required: ["name", "age"], additionalProperties: false,
};

const tests = {
  async chats() {
    const answer = await make().invoke([new SystemMessage("Be kind."), new HumanMessage("Who are you?")]);
    assert.equal(typeof answer.content, "string");
    const copied = await make().invoke("Copy: a b c");
    assert.equal(copied.content, "a b c");
    assert.ok(copied.usage_metadata.output_tokens > 0);
    assert.equal(copied.response_metadata.finish_reason, "stop");
  },

  async streams() {
    let text = "";
    let pieces = 0;
    for await (const chunk of await make().stream("Copy: a b c d e")) {
      text += chunk.content;
      ++pieces;
    }
    assert.equal(text, "a b c d e");
    assert.ok(pieces > 3);
  },

  async batches() {
    const answers = await make().batch(["Copy: a b g", "Copy: c d h", "Copy: e f k"]);
    assert.deepEqual(answers.map((answer) => answer.content), ["a b g", "c d h", "e f k"]);
  },

  async callsTools() {
    const model = make().bindTools([weather]);
    const question = new HumanMessage("What is the weather in Rome?");
    const answer = await model.invoke([question]);
    assert.deepEqual(answer.tool_calls.map(({ name, args }) => [name, args]),
                     [["get_weather", { city: "Rome" }]]);
    const next = await model.invoke([
      question, answer, new ToolMessage({ content: "sunny", tool_call_id: answer.tool_calls[0].id })],
      { tool_choice: "none" });
    assert.equal(typeof next.content, "string");
  },

  async streamsToolCalls() {
    let whole;
    for await (const chunk of await make().bindTools([weather]).stream("What is the weather in Rome?")) {
      whole = whole === undefined ? chunk : whole.concat(chunk);
    }
    assert.deepEqual(whole.tool_calls.map(({ name, args }) => [name, args]),
                     [["get_weather", { city: "Rome" }]]);
  },

  async callsWhenItMust() {
    for (const tool_choice of ["required", "get_weather"]) {
      const answer = await make().bindTools([weather], { tool_choice }).invoke("Who are you?");
      assert.equal(typeof answer.tool_calls[0].args.city, "string");
    }
  },

  async givesObjects() {
    for (const method of ["jsonSchema", "functionCalling"]) {
      const model = make().withStructuredOutput(person, { method, name: "person", strict: true });
      const object = await model.invoke("As JSON: Tom is 7 years old.");
      assert.equal(typeof object.name, "string", method);
      assert.ok(Number.isInteger(object.age), method);
    }
  },

  async speaksResponsesToo() {
    const answer = await make({ useResponsesApi: true }).invoke("Copy: a b c");
    assert.equal(answer.text ?? answer.content, "a b c");
  },

  async refusesClearly() {
    const hot = await make({ temperature: 3 }).invoke("Hello").catch((caught) => caught);
    assert.equal(hot.status, 400);
    assert.match(hot.message, /temperature must be between 0 and 2/);
    const missing = await make({ model: "other" }).invoke("Hello").catch((caught) => caught);
    assert.equal(missing.status, 404);
    const stranger = await make({ apiKey: "wrong" }).invoke("Hello").catch((caught) => caught);
    assert.equal(stranger.status, 401);
  },

  async abortsInTheMiddle() {
    const controller = new AbortController();
    let pieces = 0;
    await assert.rejects(async () => {
      const stream = await make().stream("Tell me a story about a fox named Tom.",
                                         { signal: controller.signal });
      for await (const chunk of stream) {
        assert.ok(chunk);
        if (++pieces === 3) controller.abort();
      }
    });
    assert.ok(pieces >= 3);
    await becomesIdle(address);
  },
};

await run(tests, stop);
