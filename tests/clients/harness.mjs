// What the suites of client packages share: a server with the model that ships, and a list of tests.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

const SKIPPED = 77;
export const KEY = "secret";
export const MODEL = "brisk-small";

// A package that `npm install` put here or above, or that NODE_PATH leads to (modules do not look
// there, but require does). Ends the suite as skipped where it is not installed.
export async function load(name) {
  try {
    return await import(name);
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  }
  try {
    return createRequire(import.meta.url)(name);
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    console.log(`the package ${name} is not installed`);
    process.exit(SKIPPED);
  }
}

// `brisk serve` with the model that ships: { address, stop }.
export async function serve(brisk, ...more) {
  const server = spawn(brisk, ["serve", "--port", "0", "--threads", "1", "--api-key", KEY, ...more], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.on("exit", () => server.kill("SIGKILL"));
  const address = await new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (data) => {
      text += data;
      const found = text.match(/http:\/\/\S+/);
      if (found) resolve(found[0]);
    });
    server.on("exit", (code) => reject(new Error(`brisk serve ended with ${code}: ${text}`)));
  });
  const stop = async () => {
    server.removeAllListeners("exit");
    server.kill("SIGTERM");
    assert.equal(await new Promise((resolve) => server.on("exit", resolve)), 0);
  };
  return { address, stop };
}

// Nothing runs on for those who left.
export async function becomesIdle(address) {
  for (let tries = 0; ; ++tries) {
    const metrics = await fetch(`${address}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
    if (/brisk:num_requests_running\{[^}]*\} 0\n/.test(await metrics.text())) return;
    assert.ok(tries < 500, "a request goes on though its client has gone");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// Runs all tests in their order, one after the other; the process then fails if one did.
export async function run(tests, stop) {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
      console.log(`ok      ${name}`);
    } catch (error) {
      ++failed;
      console.log(`FAILED  ${name}: ${error.stack}`);
    }
  }
  await stop();
  process.exitCode = failed === 0 ? 0 : 1;
}
