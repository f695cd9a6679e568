// The `openai` package against a running `brisk serve`: what its users would write.
//
//   node openai_test.mjs BRISK MODEL
//
// Exits with 77 where the package is not installed (npm install openai, here or above).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SKIPPED = 77;
const [brisk, model] = process.argv.slice(2);

async function load() {
  try {
    return (await import("openai")).default;
  } catch {
    // Modules do not look at NODE_PATH, but require does.
    return createRequire(import.meta.url)("openai").default;
  }
}

let OpenAI;
try {
  OpenAI = await load();
} catch {
  console.log("the openai package is not installed");
  process.exit(SKIPPED);
}

const KEY = "secret";
const directory = mkdtempSync(join(tmpdir(), "brisk-openai-"));
const template = join(directory, "template.jinja");
writeFileSync(template, "{% for m in messages %}{{ m.content }}{% endfor %}");
const server = spawn(brisk, ["serve", model, "--port", "0", "--threads", "1", "--api-key", KEY,
                             "--chat-template", template], {
  stdio: ["ignore", "pipe", "inherit"],
});
process.on("exit", () => {
  server.kill("SIGKILL");
  rmSync(directory, { recursive: true });
});
const address = await new Promise((resolve, reject) => {
  let text = "";
  server.stdout.on("data", (data) => {
    text += data;
    const found = text.match(/http:\/\/\S+/);
    if (found) resolve(found[0]);
  });
  server.on("exit", (code) => reject(new Error(`brisk serve ended with ${code}: ${text}`)));
});
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: KEY, maxRetries: 0 });

const tests = {
  async listsModels() {
    const ids = [];
    for await (const each of client.models.list()) ids.push(each.id);
    assert.equal(ids.length, 1);
    assert.equal((await client.models.retrieve(ids[0])).id, ids[0]);
    this.model = ids[0];
  },

  async completes() {
    const answer = await client.completions.create({
      model: this.model, prompt: "Once upon a time", max_tokens: 12, temperature: 0,
      ignore_eos: true,
    });
    assert.ok(answer.choices[0].text.length > 0);
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, 12);
    assert.equal(answer.object, "text_completion");
  },

  async streamsTheSameCompletion() {
    const request = {
      model: this.model, prompt: "The dog", max_tokens: 40, temperature: 0, logprobs: 2,
    };
    const whole = await client.completions.create(request);
    let text = "";
    let usage = null;
    const stream = await client.completions.create({
      ...request, stream: true, stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].text);
    assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
  },

  async chats() {
    const answer = await client.chat.completions.create({
      model: this.model,
      messages: [{ role: "system", content: "Be brief." },
                 { role: "user", content: [{ type: "text", text: "Hello" }] }],
      max_completion_tokens: 8, temperature: 0.5, seed: 3, logprobs: true, top_logprobs: 2,
    });
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.equal(typeof answer.choices[0].message.content, "string");
    assert.equal(answer.choices[0].logprobs.content[0].top_logprobs.length, 2);
  },

  async streamsAChatThroughTheHelper() {
    const request = {
      model: this.model, messages: [{ role: "user", content: "Hello" }],
      max_tokens: 20, temperature: 1, seed: 5, n: 2,
    };
    const whole = await client.chat.completions.create(request);
    const joined = await client.chat.completions.stream(request).finalChatCompletion();
    assert.deepEqual(joined.choices.map((choice) => [choice.message.content, choice.finish_reason]),
                     whole.choices.map((choice) => [choice.message.content, choice.finish_reason]));
  },

  async aborts() {
    const stream = await client.chat.completions.create({
      model: this.model, messages: [{ role: "user", content: "Hello" }],
      stream: true, ignore_eos: true,
    });
    let chunks = 0;
    for await (const chunk of stream) {
      assert.equal(chunk.object, "chat.completion.chunk");
      if (++chunks === 3) break;  // the package aborts the request
    }
    const controller = new AbortController();
    const pending = client.completions.create(
      { model: this.model, prompt: "The", max_tokens: 400, ignore_eos: true },
      { signal: controller.signal });
    controller.abort();
    await assert.rejects(pending, OpenAI.APIUserAbortError);
    // Nothing runs on for those who left.
    for (let tries = 0; ; ++tries) {
      const metrics = await fetch(`${address}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
      if (/brisk:num_requests_running\{[^}]*\} 0\n/.test(await metrics.text())) break;
      assert.ok(tries < 500);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  },

  async embeds() {
    const embed = (more) => client.embeddings.create(
      { model: this.model, input: ["The cat sat.", "A dog ran."], ...more });
    const decoded = await embed({});  // the package asks for base64
    const plain = await embed({ encoding_format: "float" });
    assert.equal(decoded.data.length, 2);
    for (const [i, { embedding }] of decoded.data.entries()) {
      const close = (a, b) => Math.abs(a - b) < 1e-6;
      assert.ok(embedding.every((value, k) => close(value, plain.data[i].embedding[k])));
      assert.ok(close(embedding.reduce((sum, value) => sum + value * value, 0), 1));
    }
    assert.equal((await embed({ dimensions: 4 })).data[1].embedding.length, 4);
    assert.ok(decoded.usage.prompt_tokens > 0);
  },

  async refusesClearly() {
    const create = (more) => client.chat.completions.create(
      { model: this.model, messages: [{ role: "user", content: "Hello" }], ...more });
    const error = await create({ temperature: 3 }).catch((caught) => caught);
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.match(error.message, /must be between 0 and 2/);
    await assert.rejects(create({ model: "gpt-4" }), OpenAI.NotFoundError);
    await assert.rejects(create({ messages: [] }), OpenAI.BadRequestError);
    const stranger = new OpenAI({ baseURL: `${address}/v1`, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
};

const shared = {};
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test.call(shared);
    console.log(`ok      ${name}`);
  } catch (error) {
    ++failed;
    console.log(`FAILED  ${name}: ${error.stack}`);
  }
}
server.removeAllListeners("exit");
server.kill("SIGTERM");
const code = await new Promise((resolve) => server.on("exit", resolve));
assert.equal(code, 0);
process.exitCode = failed === 0 ? 0 : 1;
