// Files and batches with the `openai` package against a running `brisk serve --batch-dir`.
//
//   node batches_test.mjs BRISK MODEL
//
// Exits with 77 where the package is not installed (npm install openai, here or above).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SKIPPED = 77;
const [brisk, model] = process.argv.slice(2);

let OpenAI;
try {
  OpenAI = (await import("openai")).default;
} catch {
  try {
    OpenAI = createRequire(import.meta.url)("openai").default;
  } catch {
    console.log("the openai package is not installed");
    process.exit(SKIPPED);
  }
}

const directory = mkdtempSync(join(tmpdir(), "brisk-batches-"));
const template = join(directory, "template.jinja");
writeFileSync(template, "{% for m in messages %}{{ m.content }}{% endfor %}");
const server = spawn(brisk, ["serve", model, "--port", "0", "--threads", "1", "--api-key", "k",
                             "--served-model-name", "m", "--chat-template", template,
                             "--batch-dir", join(directory, "batches")], {
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
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "k", maxRetries: 0 });

const lines = [];
for (let i = 0; i < 8; ++i) {
  lines.push(JSON.stringify({
    custom_id: `chat-${i}`, method: "POST", url: "/v1/chat/completions",
    body: { model: i === 5 ? "no-such-model" : "m", max_tokens: 5, temperature: 0,
            messages: [{ role: "user", content: `Hello ${i}` }] },
  }));
}
const path = join(directory, "requests.jsonl");
writeFileSync(path, lines.join("\n") + "\n");

const file = await client.files.create({ file: createReadStream(path), purpose: "batch" });
assert.equal(file.object, "file");
assert.equal(file.filename, "requests.jsonl");
assert.equal(await (await client.files.content(file.id)).text(), lines.join("\n") + "\n");

let batch = await client.batches.create({
  input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h",
  metadata: { who: "me" },
});
assert.equal(batch.object, "batch");
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  batch = await client.batches.retrieve(batch.id);
}
assert.equal(batch.status, "completed");
assert.deepEqual(batch.request_counts, { total: 8, completed: 7, failed: 1 });
const output = (await (await client.files.content(batch.output_file_id)).text()).trim().split("\n")
  .map((line) => JSON.parse(line));
assert.deepEqual(output.map((each) => each.custom_id),
                 [0, 1, 2, 3, 4, 6, 7].map((i) => `chat-${i}`));
assert.equal(output[0].response.status_code, 200);
assert.equal(output[0].response.body.object, "chat.completion");
const direct = await client.chat.completions.create(JSON.parse(lines[0]).body);
assert.equal(output[0].response.body.choices[0].message.content, direct.choices[0].message.content);
const errors = JSON.parse(await (await client.files.content(batch.error_file_id)).text());
assert.equal(errors.custom_id, "chat-5");
assert.equal(errors.response.status_code, 404);
assert.equal(errors.response.body.error.code, "model_not_found");

const ids = [];
for await (const each of client.files.list({ limit: 1 })) ids.push(each.id);
assert.deepEqual(new Set(ids), new Set([file.id, batch.output_file_id, batch.error_file_id]));
const batches = [];
for await (const each of client.batches.list()) batches.push(each.id);
assert.deepEqual(batches, [batch.id]);
await assert.rejects(client.batches.cancel(batch.id), OpenAI.BadRequestError);
assert.equal((await client.files.delete(file.id)).deleted, true);
await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);
console.log("ok");

server.removeAllListeners("exit");
server.kill("SIGTERM");
const code = await new Promise((resolve) => server.on("exit", resolve));
assert.equal(code, 0);
