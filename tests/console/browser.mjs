// The web console in Chromium, as people use it, against a live server with a real model.
//
//   node *_test.mjs BRISK REPOSITORY OUT
//
// OUT gets screenshots. Exits with 77 where playwright-core (npm ci in console/) or Chromium is not
// installed.
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { packageOf, runTests, skip, startServer } from "./support.mjs";

export const [brisk, repository, out] = process.argv.slice(2);
const { chromium } = packageOf(join(repository, "console"), "playwright-core");
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"].find(
  (path) => path && existsSync(path),
);
if (!executablePath) skip("chromium is not installed");
mkdirSync(out, { recursive: true });

export const MODEL = join(repository, "models/brisk-small");
export const server = await startServer(brisk, [MODEL]);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

// What no page may do: fail, break its policy, or ask for anything elsewhere.
const complaints = [];
export async function open({ url = server.url, view = "chat", expected = null, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !expected?.test(message.text()))
      complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:"))
      complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(`${url}/#${view}`);
  return page;
}

export const close = (page) => page.context().close();
export const shot = (page, name) =>
  page.screenshot({ path: join(out, `${name}.png`), animations: "disabled" });

export const answers = (page) => page.getByRole("article", { name: "Answer" });
export const parameter = (page, name) =>
  page.getByRole("complementary").getByLabel(name, { exact: true });
export const finished = (page) => page.locator("article[aria-busy=false]").last().waitFor();
export const textOf = (page) =>
  answers(page)
    .last()
    .locator(".text")
    .evaluate((element) => element.textContent);

export async function ask(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

export const call = (path, { method = "GET", body } = {}) =>
  fetch(server.url + path, { method, body: body && JSON.stringify(body) });
export const running = async () => (await (await call("/v1/brisk/requests")).json()).data;

// Something that takes a while on a small model: many choices, none of which ends by itself.
export const LONG = { n: 64, ignore_eos: true, max_tokens: 200 };

// Runs the tests, and one more: no page did what it may not.
export async function runInBrowser(tests) {
  try {
    await runTests({ ...tests, noPageComplained: () => assert.deepEqual(complaints, []) });
  } finally {
    await browser.close();
  }
  assert.equal(await server.stop(), 0);
}
