// A running server, a browser, and a list of tests: what the tests of the console share.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

export const SKIPPED = 77;

export function skip(why) {
  console.log(why);
  process.exit(SKIPPED);
}

// Runs every test; the exit code says whether all passed. BRISK_ONLY names one of them.
export async function runTests(tests) {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    if (process.env.BRISK_ONLY && process.env.BRISK_ONLY !== name) continue;
    try {
      await test();
      console.log(`ok      ${name}`);
    } catch (error) {
      ++failed;
      console.log(`FAILED  ${name}: ${error.stack}`);
    }
  }
  process.exitCode = failed === 0 ? 0 : 1;
}

// {url, stop}; `stop` asks it to end and gives its exit code.
export async function startServer(brisk, args) {
  const server = spawn(brisk, ["serve", ...args, "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const killed = () => server.kill("SIGKILL");
  process.on("exit", killed);
  const ended = new Promise((resolve) => server.on("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (data) => {
      text += data;
      const found = text.match(/http:\/\/\S+/);
      if (found) resolve(found[0]);
    });
    ended.then((code) => reject(new Error(`brisk serve ended with ${code}: ${text}`)));
  });
  return {
    url,
    async stop() {
      process.off("exit", killed);
      server.kill("SIGTERM");
      return ended;
    },
  };
}

export function packageOf(directory, name) {
  try {
    return createRequire(`${directory}/package.json`)(name);
  } catch {
    return skip(`${name} is not installed: npm ci in console/`);
  }
}

export async function until(condition, what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
