// The chat in Chromium: what is streamed, shown, stopped and refused.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  MODEL,
  brisk,
  LONG,
  answers,
  ask,
  call,
  close,
  finished,
  open,
  parameter,
  runInBrowser,
  running,
  shot,
  textOf,
} from "./browser.mjs";
import { startServer, until } from "./support.mjs";

const tests = {
  async aChatStreamsWhatTheApiAnswers() {
    const page = await open();
    await parameter(page, "Temperature").fill("0");
    await parameter(page, "System prompt").fill("");
    const question = "Tell me a short story about a fox.";
    await ask(page, question);
    await finished(page);
    const whole = await (
      await call("/v1/chat/completions", {
        method: "POST",
        body: { messages: [{ role: "user", content: question }], temperature: 0 },
      })
    ).json();
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
      new MutationObserver(() =>
        window.lengths.add(document.querySelector("article .text")?.textContent.length ?? 0),
      ).observe(document.body, { subtree: true, childList: true, characterData: true });
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
    const {
      choices: [
        {
          logprobs: { content },
        },
      ],
    } = await (
      await call("/v1/chat/completions", {
        method: "POST",
        body: {
          messages: [{ role: "user", content: "Who are you?" }],
          temperature: 0,
          logprobs: true,
          top_logprobs: 3,
        },
      })
    ).json();
    const pieces = answers(page).locator("[data-piece]");
    const at = 2;
    assert.equal(await pieces.nth(at).textContent(), content[at].token);
    await pieces.nth(at).hover();
    const card = page.locator(".token-card");
    await card.waitFor();
    assert.match(
      await card.innerText(),
      new RegExp(`log-probability ${content[at].logprob.toFixed(3)}`),
    );
    const names = (await card.locator("li .name").allInnerTexts()).filter(
      (text) => text !== "all others",
    );
    assert.deepEqual(
      names,
      content[at].top_logprobs.map(({ token }) => token.replaceAll(" ", "␣").replaceAll("\n", "⏎")),
    );
    await shot(page, "chat-token");
    await page.mouse.move(5, 500);
    await card.waitFor({ state: "detached" });
    await page.getByLabel("Colour by probability").check();
    assert.ok(
      await pieces.evaluateAll((all) => all.every((each) => /doubt-\d/.test(each.className))),
    );
    await close(page);
  },

  async stopEndsTheRequestOnTheServer() {
    const page = await open();
    await parameter(page, "More fields, as JSON").fill(JSON.stringify(LONG));
    for (const stop of [
      () => page.getByRole("button", { name: "Stop" }).click(),
      () => page.keyboard.press("Escape"),
    ]) {
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

  async aClearedConversationStaysClear() {
    const page = await open();
    await parameter(page, "More fields, as JSON").fill(JSON.stringify(LONG));
    await ask(page, "Tell me a story.");
    await page.locator("[data-piece]").first().waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    await until(async () => (await running()).length === 0, "the end of the request");
    await page.waitForTimeout(200);
    assert.equal(await page.getByRole("article").count(), 0);
    await page.keyboard.type("Hello");
    assert.equal(await page.getByRole("textbox", { name: "Message" }).inputValue(), "Hello");
    await close(page);
  },

  async modelsWithoutATemplateContinuePlainText() {
    const directory = mkdtempSync(join(tmpdir(), "brisk-console-"));
    const template = join(directory, "refuses.jinja");
    writeFileSync(template, '{{ raise_exception("this template refuses") }}');
    const base = await startServer(brisk, [MODEL, "--chat-template", template]);
    const page = await open({ url: base.url, expected: /status of 400/ });
    await parameter(page, "Temperature").fill("0");
    await ask(page, "Once upon a time");
    await page.getByRole("button", { name: "Continue it as plain text instead" }).click();
    await page.locator("[data-piece]").first().waitFor();
    await finished(page);
    const whole = await (
      await call("/v1/completions", {
        method: "POST",
        body: { prompt: "Once upon a time", temperature: 0, max_tokens: 200 },
      })
    ).json();
    assert.equal(await textOf(page), whole.choices[0].text);
    await page.locator("[data-piece]").nth(2).hover();
    await page.locator(".token-card li.chosen").waitFor();
    await close(page);
    assert.equal(await base.stop(), 0);
    rmSync(directory, { recursive: true });
  },

  async errorsAreShownWhereTheAnswerWouldBe() {
    const page = await open({ expected: /status of 400/ });
    await parameter(page, "Temperature").fill("3");
    await ask(page, "Hello");
    assert.match(
      await page.getByRole("alert").filter({ hasText: "temperature" }).innerText(),
      /must be between 0 and 2/,
    );
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
};

await runInBrowser(tests);
