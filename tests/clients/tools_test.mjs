// Tools through the `openai` package, with the model that ships.
//
//   node tools_test.mjs BRISK
import assert from "node:assert/strict";
import { KEY, MODEL, load, run, serve } from "./harness.mjs";

const OpenAI = (await load("openai")).default;
const { address, stop } = await serve(process.argv[2]);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: KEY, maxRetries: 0 });

const weather = {
  type: "function",
  function: {
    name: "get_weather", description: "Tells the weather.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"],
                  additionalProperties: false },
  },
};
const timer = {
  type: "function",
  function: {
    name: "set_timer",
    parameters: { type: "object", properties: { minutes: { type: "integer", minimum: 1, maximum: 90 } },
                  required: ["minutes"], additionalProperties: false },
  },
};
const ask = (question, more = {}) => ({
  model: MODEL, messages: [{ role: "user", content: question }], temperature: 0,
  tools: [weather, timer], ...more,
});
const calls = (message) => message.tool_calls.map((call) =>
  [call.function.name, JSON.parse(call.function.arguments)]);

const tests = {
  async callsATool() {
    const answer = await client.chat.completions.create(ask("What is the weather in Rome?"));
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(calls(answer.choices[0].message), [["get_weather", { city: "Rome" }]]);
    assert.equal(answer.choices[0].message.content, null);
  },

  async goesOnWithTheResult() {
    const request = ask("What is the weather in Rome?");
    const first = await client.chat.completions.create(request);
    const call = first.choices[0].message.tool_calls[0];
    const answer = await client.chat.completions.create({
      ...request, max_tokens: 20, tool_choice: "none",
      messages: [...request.messages, first.choices[0].message,
                 { role: "tool", tool_call_id: call.id, content: "sunny" }],
    });
    assert.equal(typeof answer.choices[0].message.content, "string");
    assert.equal(answer.choices[0].message.tool_calls, undefined);
  },

  async streamsTheSameCall() {
    const request = ask("Set a timer for 12 minutes.");
    const whole = await client.chat.completions.create(request);
    let names = 0;
    let pieces = "";
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      for (const call of chunk.choices[0].delta.tool_calls ?? []) {
        assert.equal(call.index, 0);
        if (call.id) ++names;
        pieces += call.function.arguments;
      }
    }
    assert.equal(names, 1);
    assert.equal(pieces, whole.choices[0].message.tool_calls[0].function.arguments);
    assert.deepEqual(JSON.parse(pieces), { minutes: 12 });
  },

  async streamsThroughTheHelper() {
    const stream = client.chat.completions.stream(ask("What is the weather in Rome?"));
    const done = [];
    stream.on("tool_calls.function.arguments.done", (event) => done.push(event));
    const answer = await stream.finalChatCompletion();
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(done.map((event) => [event.name, event.arguments]),
                     [["get_weather", '{"city": "Rome"}']]);
  },

  async callsWhenItMust() {
    for (const temperature of [0, 1]) {
      const answer = await client.chat.completions.create(
        ask("Who are you?", { tool_choice: "required", temperature, seed: 3, parallel_tool_calls: false }));
      assert.equal(answer.choices[0].finish_reason, "tool_calls");
      const [[name, args]] = calls(answer.choices[0].message);
      assert.ok(name === "get_weather" ? typeof args.city === "string" : Number.isInteger(args.minutes));
    }
  },

  async callsTheNamedTool() {
    const answer = await client.chat.completions.create(ask("What is the weather in Rome?", {
      tool_choice: { type: "function", function: { name: "set_timer" } }, temperature: 1,
    }));
    const [[name, { minutes }]] = calls(answer.choices[0].message);
    assert.equal(name, "set_timer");
    assert.ok(minutes >= 1 && minutes <= 90);
  },

  async runsToolsByItself() {
    const asked = [];
    const runner = client.chat.completions.runTools({
      ...ask("What is the weather in Rome?"),
      max_tokens: 40,
      tools: [{ type: "function", function: {
        ...weather.function, parse: JSON.parse,
        function: ({ city }) => { asked.push(city); return "sunny"; } } }],
    }, { maxChatCompletions: 2 });
    await runner.done().catch(() => {});  // what the small model says next is its own business
    assert.equal(asked[0], "Rome");
  },

  async refusesClearly() {
    const wrong = (more) => client.chat.completions.create(ask("Hello", more)).catch((caught) => caught);
    const name = await wrong({ tools: [{ type: "function", function: { name: "a b" } }] });
    assert.ok(name instanceof OpenAI.BadRequestError);
    assert.equal(name.param, "tools[0].function.name");
    const choice = await wrong({ tool_choice: { type: "function", function: { name: "nothing" } } });
    assert.equal(choice.param, "tool_choice.function.name");
    const result = await wrong({ messages: [{ role: "tool", tool_call_id: "x", content: "y" }] });
    assert.equal(result.param, "messages[0].tool_call_id");
  },
};

await run(tests, stop);
