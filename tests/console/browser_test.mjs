// The web console in Chromium, as people use it, against a live server with a real model.
//
//   node browser_test.mjs BRISK REPOSITORY OUT
//
// OUT gets screenshots. Exits with 77 where playwright-core (npm ci in console/) or Chromium is not
// installed.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contrastComplaints, namelessControls } from "./accessibility.mjs";
import { packageOf, runTests, skip, startServer, until } from "./support.mjs";

const [brisk, repository, out] = process.argv.slice(2);
const { chromium } = packageOf(join(repository, "console"), "playwright-core");
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
if (!executablePath) skip("chromium is not installed");
mkdirSync(out, { recursive: true });

const MODEL = join(repository, "models/brisk-small");
const server = await startServer(brisk, [MODEL]);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

// What no page may do: fail, break its policy, or ask for anything elsewhere.
const complaints = [];
async function open({ url = server.url, view = "chat", expected = null, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !expected?.test(message.text())) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(`${url}/#${view}`);
  return page;
}

const close = (page) => page.context().close();
const shot = (page, name) => page.screenshot({ path: join(out, `${name}.png`), animations: "disabled" });
const answers = (page) => page.getByRole("article", { name: "Answer" });
const parameter = (page, name) => page.getByRole("complementary").getByLabel(name, { exact: true });

async function ask(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

const finished = (page) => page.locator("article[aria-busy=false]").last().waitFor();
const textOf = (page) => answers(page).last().locator(".text").evaluate((element) => element.textContent);

async function call(path, { method = "GET", body, url = server.url, key } = {}) {
  return fetch(url + path, { method, body: body && JSON.stringify(body), headers: key ? { authorization: `Bearer ${key}` } : {} });
}
const running = async () => (await (await call("/v1/brisk/requests")).json()).data;

// Something that takes a while on a small model: many choices, none of which ends by itself.
const LONG = { n: 64, ignore_eos: true, max_tokens: 200 };
const longRequest = () => call("/v1/completions", { method: "POST", body: { prompt: "Once upon a time", ...LONG } });

const tests = {
  async aChatStreamsWhatTheApiAnswers() {
    const page = await open();
    await parameter(page, "Temperature").fill("0");
    await parameter(page, "System prompt").fill("");
    const question = "Tell me a short story about a fox.";
    await ask(page, question);
    await finished(page);
    const whole = await (await call("/v1/chat/completions", { method: "POST",
      body: { messages: [{ role: "user", content: question }], temperature: 0 } })).json();
    assert.equal(await textOf(page), whole.choices[0].message.content);
    const footer = await answers(page).locator("footer").innerText();
    assert.match(footer, new RegExp(`${whole.usage.completion_tokens} tokens`));
    assert.match(footer, /tok\/s · first after/);
    const announced = await page.getByRole("status").filter({ hasText: "Answer:" }).textContent();
    assert.equal(announced.trim(), `Answer: ${whole.choices[0].message.content}`.trim());
    await close(page);
  },

  async longAnswersComeInParts() {
    const page = await open();
    await parameter(page, "More fields, as JSON").fill(JSON.stringify(LONG));
    await page.evaluate(() => {
      window.lengths = new Set();
      new MutationObserver(() => window.lengths.add(document.querySelector("article .text")?.textContent.length ?? 0))
        .observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    await ask(page, "Tell me a story.");
    await until(() => page.evaluate(() => window.lengths.size > 5), "more and more text");
    await close(page);
  },

  async pointingAtATokenShowsItsProbability() {
    const page = await open();
    await parameter(page, "Temperature").fill("0");
    await page.getByRole("combobox", { name: "Alternatives" }).selectOption("3");
    await ask(page, "Who are you?");
    await finished(page);
    const { choices: [{ logprobs: { content } }] } = await (await call("/v1/chat/completions", { method: "POST",
      body: { messages: [{ role: "user", content: "Who are you?" }], temperature: 0, logprobs: true, top_logprobs: 3 } })).json();
    const pieces = answers(page).locator("[data-piece]");
    const at = 2;
    assert.equal(await pieces.nth(at).textContent(), content[at].token);
    await pieces.nth(at).hover();
    const card = page.locator(".token-card");
    await card.waitFor();
    assert.match(await card.innerText(), new RegExp(`log-probability ${content[at].logprob.toFixed(3)}`));
    const names = (await card.locator("li .name").allInnerTexts()).filter((text) => text !== "all others");
    assert.deepEqual(names, content[at].top_logprobs.map(({ token }) => token.replaceAll(" ", "␣").replaceAll("\n", "⏎")));
    await shot(page, "chat-token");
    await page.mouse.move(5, 500);
    await card.waitFor({ state: "detached" });
    await page.getByLabel("Colour by probability").check();
    assert.ok(await pieces.evaluateAll((all) => all.every((each) => /doubt-\d/.test(each.className))));
    await close(page);
  },

  async stopEndsTheRequestOnTheServer() {
    const page = await open();
    await parameter(page, "More fields, as JSON").fill(JSON.stringify(LONG));
    for (const stop of [() => page.getByRole("button", { name: "Stop" }).click(), () => page.keyboard.press("Escape")]) {
      await ask(page, "Tell me a story.");
      await page.locator("[data-piece]").first().waitFor();
      assert.equal((await running()).length, 1);
      await stop();
      await finished(page);
      assert.match(await answers(page).last().locator("footer").innerText(), /stopped/);
      assert.ok((await textOf(page)).length > 0, "what came stays");
      await until(async () => (await running()).length === 0, "the end of a stopped request", 5);
      await page.getByRole("button", { name: "New chat" }).click();
    }
    await close(page);
  },

  async errorsAreShownWhereTheAnswerWouldBe() {
    const page = await open({ expected: /status of 400/ });
    await parameter(page, "Temperature").fill("3");
    await ask(page, "Hello");
    assert.match(await page.getByRole("alert").filter({ hasText: "temperature" }).innerText(), /must be between 0 and 2/);
    await parameter(page, "More fields, as JSON").fill("[1]");
    await page.getByText("write an object").waitFor();
    await page.getByRole("button", { name: "Reset" }).click();
    await page.getByRole("button", { name: "Answer again" }).click();
    await finished(page);
    assert.equal(await page.getByRole("alert").filter({ hasText: "temperature" }).count(), 0);
    await close(page);
  },

  async everythingIsTextNeverMarkup() {
    const page = await open({ expected: /TrustedHTML/ });
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    await ask(page, hostile);
    await finished(page);
    assert.equal(await page.getByRole("article", { name: "You" }).textContent(), hostile);
    assert.equal(await page.locator("img").count(), 0);
    const refused = await page.evaluate((text) => {
      try {
        document.body.insertAdjacentHTML("beforeend", text);
        return false;
      } catch {
        return true;
      }
    }, hostile);
    assert.ok(refused, "the policy lets no string become markup");
    assert.doesNotMatch(await page.title(), /owned/);
    await close(page);
  },

  async theKeyboardAloneIsEnough() {
    const page = await open();
    const focused = () => page.evaluate(() => {
      const element = document.activeElement;
      return element.getAttribute("aria-label") ?? element.labels?.[0]?.firstChild.textContent.trim() ?? element.textContent.trim();
    });
    await page.getByRole("textbox", { name: "Message" }).waitFor();
    assert.equal(await focused(), "Message", "one can write at once");
    await page.keyboard.type("Who are you?");
    await page.keyboard.press("Enter");
    await finished(page);
    assert.equal(await focused(), "Message");
    const order = [];
    await page.evaluate(() => { document.activeElement.blur(); document.querySelector(".skip").focus(); });
    for (let i = 0; i < 30 && order.at(-1) !== "Message"; ++i) {
      await page.keyboard.press("Tab");
      order.push(await focused());
    }
    const text = "Text of the answer; arrow keys step through its tokens";
    const expected = ["brisk, to the chat", "Chat", "Monitor", "Models", "Reports", "Use dark colours", "New chat", "Parameters",
                      "Conversation", text, "Copy the answer", "Answer again", "Message"];
    assert.deepEqual(expected.filter((name) => order.includes(name)), expected, `focus went over ${order.join(" | ")}`);
    assert.deepEqual([...expected].sort((a, b) => order.indexOf(a) - order.indexOf(b)), expected, "in this order");
    await answers(page).locator(".text").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    const second = await page.locator("[data-piece='1']").textContent();
    const spoken = page.getByRole("status").filter({ hasText: `${second.replaceAll(" ", "␣")}, ` });
    assert.match(await spoken.textContent(), /, (< )?[\d.]+ %; or .+ %/);
    await page.locator(".token-card").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".token-card").waitFor({ state: "detached" });
    await close(page);
  },

  async plotsShowWhatTheServerDoes() {
    const page = await open({ view: "monitor" });
    const plot = (name) => page.getByRole("img", { name: new RegExp(`^${name}:`) });
    await plot("Throughput").waitFor();
    const work = Promise.all(Array.from({ length: 12 }, (_, i) => call("/v1/completions", { method: "POST",
      body: { prompt: `Story ${i}:`, n: 4, ignore_eos: true, max_tokens: 150 } })));
    const label = (name) => plot(name).getAttribute("aria-label");
    await until(async () => /generated [1-9]/.test(await label("Throughput")), "throughput");
    await until(async () => /running [1-9]/.test(await label("Requests")), "running requests");
    await until(async () => /mean [1-9]/.test(await label("Batch")), "batches");
    await until(async () => /in use (< )?[0-9.]*[1-9]/.test(await label("KV cache")), "KV use");
    await shot(page, "monitor-busy");
    for (const answer of await work) assert.equal(answer.status, 200);
    for (const name of ["Time to first token", "Between tokens"]) {
      await until(async () => /p50 [\d.]+ (µs|ms|s), p90 [\d.]+ (µs|ms|s), p99 [\d.]+ (µs|ms|s)/.test(await label(name)), `percentiles: ${name}`);
    }
    const painted = await plot("Throughput").locator("canvas").evaluate((canvas) => {
      const wanted = getComputedStyle(document.documentElement).getPropertyValue("--plot-1").trim();
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let pixels = 0;
      for (let i = 0; i < data.length; i += 4) pixels += data[i] === r && data[i + 1] === g && data[i + 2] === b;
      return pixels;
    });
    assert.ok(painted > 20, `${painted} pixels of the line`);
    await close(page);
  },

  async runningRequestsCanBeCancelled() {
    const page = await open({ view: "monitor" });
    await page.getByText("Nothing is running.").waitFor();
    const request = longRequest();
    const id = await until(async () => (await running())[0]?.id, "the request");
    await page.getByRole("row", { name: new RegExp(id) }).waitFor();
    await shot(page, "monitor-requests");
    await page.getByRole("button", { name: `Cancel ${id}` }).click();
    assert.equal((await request).status, 499);
    await page.getByText("Request cancelled.").waitFor();
    await page.getByText("Nothing is running.").waitFor();
    await close(page);
  },

  async modelsAreListedWithTheirContext() {
    const page = await open({ view: "models" });
    const row = page.getByRole("row", { name: /brisk-small/ });
    assert.match(await row.innerText(), /256 tokens/);
    assert.equal(await row.getByRole("button").count(), 0, "one model alone cannot be unloaded");
    await shot(page, "models");
    await close(page);
  },

  // The server's answers are those of API.md for a server of many models.
  async modelsWithAStateCanBeLoadedAndUnloaded() {
    const page = await open({ view: "models" });
    const states = { ready: "ready", "org/other": "unloaded", slow: "loading" };
    const asked = [];
    await page.route("**/v1/models", (route) => route.fulfill({ json: { object: "list",
      data: Object.entries(states).map(([id, state]) => ({ id, object: "model", root: id, parent: null, state })) } }));
    await page.route("**/v2/repository/models/**", (route) => {
      asked.push(`${route.request().method()} ${new URL(route.request().url()).pathname}`);
      states["org/other"] = "ready";
      return route.fulfill({ json: {} });
    });
    await page.getByRole("button", { name: "Load org/other" }).click();
    await page.getByText("org/other is loaded.").waitFor();
    await page.getByRole("button", { name: "Unload org/other" }).waitFor();
    assert.equal(await page.getByRole("row", { name: /slow/ }).getByRole("button").count(), 0);
    assert.deepEqual(asked, ["POST /v2/repository/models/org/other/load"]);
    await close(page);
  },

  async reportsOfTheBenchmarksAreShown() {
    const page = await open({ view: "reports" });
    const files = {
      "bench.json": ["bench", MODEL, "--test", "pp16,tg8", "--repetitions", "1", "--json"],
      "load.json": ["load", "--url", server.url, "--requests", "6", "--prompt-tokens", "8", "--output-tokens", "8", "--json"],
      "sweep.json": ["load", "--url", server.url, "--sweep", "rate=20,40", "--slo", "ttft=60s", "--requests", "6",
                     "--prompt-tokens", "8", "--output-tokens", "8", "--json"],
    };
    const reports = Object.entries(files).map(([name, args]) =>
      ({ name, mimeType: "application/json", buffer: execFileSync(brisk, args, { stdio: ["ignore", "pipe", "ignore"] }) }));
    const input = page.locator("input[type=file]");
    await input.setInputFiles(reports);
    const report = (name) => page.getByRole("region", { name });
    const bench = JSON.parse(reports[0].buffer);
    assert.equal(await report("bench.json").getByRole("row", { name: /^(pp|tg)/ }).count(), bench.length);
    assert.match(await report("load.json").getByRole("row", { name: /^served/ }).innerText(), /6/);
    await report("sweep.json").getByRole("img", { name: /^Time to first token: median/ }).waitFor();
    assert.match(await report("sweep.json").getByRole("row", { name: /^rate/ }).innerText(), /20\s+40/);
    await page.setViewportSize({ width: 1280, height: 2400 });
    await shot(page, "reports");
    await input.setInputFiles([{ name: "<b>wrong</b>.json", mimeType: "application/json", buffer: Buffer.from("{") }]);
    await page.getByText("<b>wrong</b>.json is not JSON").waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    assert.equal(await page.getByRole("region", { name: ".json" }).count(), 0);
    await page.evaluate((text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], "dropped.json", { type: "application/json" }));
      window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    }, reports[0].buffer.toString());
    await report("dropped.json").waitFor();
    await close(page);
  },

  async aKeyIsAskedForAndForgottenWithTheTab() {
    const locked = await startServer(brisk, [MODEL, "--api-key", "right-key"]);
    const page = await open({ url: locked.url, expected: /status of 401/ });
    const dialog = page.getByRole("dialog", { name: "This server wants an API key" });
    await dialog.waitFor();
    await shot(page, "key");
    await dialog.getByLabel("API key").fill("wrong-key");
    await page.keyboard.press("Enter");
    await dialog.getByRole("alert").filter({ hasText: "refused" }).waitFor();
    await dialog.getByLabel("API key").fill("right-key");
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "hidden" });
    await ask(page, "Who are you?");
    await finished(page);
    assert.ok((await textOf(page)).length > 0);
    const kept = await page.evaluate(() => [JSON.stringify({ ...sessionStorage }), JSON.stringify({ ...localStorage }), document.cookie, location.href]);
    assert.match(kept[0], /right-key/);
    for (const other of kept.slice(1)) assert.doesNotMatch(other, /right-key/);
    await page.reload();
    await page.getByRole("button", { name: "Forget the API key" }).click();
    await dialog.waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await close(page);
    assert.equal(await locked.stop(), 0);
  },

  async lightAndDarkAreReadableEverywhere() {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open({ colorScheme });
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
      await ask(page, "What is 7 + 5?");
      await finished(page);
      for (const view of ["Chat", "Monitor", "Models", "Reports"]) {
        await page.getByRole("link", { name: view, exact: true }).click();
        await page.getByRole("heading", { level: 1, name: view }).waitFor();
        await page.waitForTimeout(300);
        assert.deepEqual(await page.evaluate(contrastComplaints), [], `${view}, ${colorScheme}`);
        assert.deepEqual(await page.evaluate(namelessControls), [], view);
        await shot(page, `${view.toLowerCase()}-${colorScheme}`);
      }
      await close(page);
    }
  },

  async theToggleOutlivesTheTab() {
    const page = await open({ colorScheme: "light" });
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    await page.getByRole("button", { name: "Use dark colours" }).click();
    assert.equal(await theme(), "dark");
    await page.reload();
    assert.equal(await theme(), "dark");
    await page.getByRole("button", { name: "Use light colours" }).click();
    await page.emulateMedia({ colorScheme: "dark" });
    await until(async () => (await theme()) === "dark", "the colours that the system is set to");
    await close(page);
  },

  async aNarrowScreenHasRoomForAll() {
    const page = await open({ viewport: { width: 390, height: 780 }, colorScheme: "dark" });
    await ask(page, "Who are you?");
    await finished(page);
    for (const view of ["Chat", "Monitor", "Models", "Reports"]) {
      await page.getByRole("link", { name: view, exact: true }).click();
      await page.getByRole("heading", { level: 1, name: view }).waitFor();
      const wide = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector("main").scrollWidth) - innerWidth);
      assert.ok(wide <= 0, `${view} is ${wide} px too wide`);
      await shot(page, `${view.toLowerCase()}-narrow`);
    }
    await close(page);
  },

  async aServerThatGoesIsNoticed() {
    const short = await startServer(brisk, [MODEL]);
    const page = await open({ url: short.url, view: "monitor", expected: /net::ERR_/ });
    await page.getByText("idle").waitFor();
    assert.equal(await short.stop(), 0);
    await page.getByText("not connected").waitFor();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await close(page);
  },

  noPageComplained() {
    assert.deepEqual(complaints, []);
  },
};

try {
  await runTests(tests);
} finally {
  await browser.close();
}
assert.equal(await server.stop(), 0);
