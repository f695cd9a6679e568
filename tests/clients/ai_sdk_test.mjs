// The `ai` package with @ai-sdk/openai-compatible, and the model that ships.
//
//   node ai_sdk_test.mjs BRISK
import assert from "node:assert/strict";
import { KEY, MODEL, becomesIdle, load, run, serve } from "./harness.mjs";

const { generateText, streamText, generateObject, tool, jsonSchema, stepCountIs } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { address, stop } = await serve(process.argv[2]);
const provider = createOpenAICompatible({
  name: "brisk", baseURL: `${address}/v1`, apiKey: KEY, supportsStructuredOutputs: true,
  includeUsage: true,
});
const model = provider(MODEL);
const common = { model, temperature: 0, maxRetries: 0 };

const weather = tool({
  description: "Tells the weather.",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } },
                            required: ["city"], additionalProperties: false }),
  execute: async ({ city }) => `sunny in ${city}`,
});

const tests = {
  async chats() {
    const { text, usage, finishReason } = await generateText({ ...common, prompt: "Copy: a b c" });
    assert.equal(text, "a b c");
    assert.equal(finishReason, "stop");
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
    const short = await generateText({ ...common, system: "Be kind.", maxOutputTokens: 2,
                                       messages: [{ role: "user", content: "Who are you?" }] });
    assert.equal(short.finishReason, "length");
  },

  async streams() {
    const result = streamText({ ...common, prompt: "Copy: a b c d e" });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    assert.equal(text, "a b c d e");
    assert.equal(await result.finishReason, "stop");
    assert.ok((await result.usage).outputTokens > 0);
  },

  async callsTools() {
    const question = { ...common, prompt: "What is the weather in Rome?", tools: { get_weather: weather } };
    const { toolCalls, toolResults, finishReason } = await generateText(question);
    assert.equal(finishReason, "tool-calls");
    assert.deepEqual(toolCalls.map((call) => [call.toolName, call.input]),
                     [["get_weather", { city: "Rome" }]]);
    assert.equal(toolResults[0].output, "sunny in Rome");
    const { steps } = await generateText({ ...question, stopWhen: stepCountIs(2), maxOutputTokens: 40 });
    assert.equal(steps.length, 2, "the result went back to the model");
  },

  async streamsToolCalls() {
    const result = streamText({ ...common, prompt: "What is the weather in Rome?",
                                tools: { get_weather: weather } });
    const kinds = new Set();
    let pieces = "";
    for await (const part of result.fullStream) {
      kinds.add(part.type);
      if (part.type === "tool-input-delta") pieces += part.delta;
    }
    assert.deepEqual(JSON.parse(pieces), { city: "Rome" });
    for (const kind of ["tool-input-start", "tool-input-end", "tool-call", "tool-result"]) {
      assert.ok(kinds.has(kind), kind);
    }
  },

  async callsWhenItMust() {
    for (const toolChoice of ["required", { type: "tool", toolName: "get_weather" }]) {
      const { toolCalls } = await generateText({ ...common, prompt: "Who are you?", toolChoice,
                                                 tools: { get_weather: weather } });
      assert.equal(toolCalls[0].toolName, "get_weather");
      assert.equal(typeof toolCalls[0].input.city, "string");
    }
  },

  async givesObjects() {
    const { object } = await generateObject({
      ...common, prompt: "As JSON: Tom is 7 years old.",
      schema: jsonSchema({ type: "object", properties: { name: { type: "string", maxLength: 20 },
                                                         age: { type: "integer" } },
                           required: ["name", "age"], additionalProperties: false }),
    });
    assert.deepEqual(object, { name: "Tom", age: 7 });
  },

  async refusesClearly() {
    const error = await generateText({ ...common, temperature: 3, prompt: "Hello" })
      .catch((caught) => caught);
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /temperature must be between 0 and 2/);
    const missing = await generateText({ ...common, model: provider("other"), prompt: "Hello" })
      .catch((caught) => caught);
    assert.equal(missing.statusCode, 404);
    const stranger = createOpenAICompatible({ name: "x", baseURL: `${address}/v1`, apiKey: "wrong" });
    const refused = await generateText({ ...common, model: stranger(MODEL), prompt: "Hello" })
      .catch((caught) => caught);
    assert.equal(refused.statusCode, 401);
  },

  async abortsInTheMiddle() {
    const controller = new AbortController();
    const result = streamText({ ...common, prompt: "Tell me a story about a fox named Tom.",
                                abortSignal: controller.signal, onError() {} });
    let pieces = 0;
    try {
      for await (const piece of result.textStream) {
        assert.equal(typeof piece, "string");
        if (++pieces === 3) controller.abort();
      }
    } catch (error) {
      assert.equal(error.name, "AbortError");
    }
    assert.ok(pieces >= 3);
    await becomesIdle(address);
  },
};

await run(tests, stop);
