// Who can use the console: by keyboard, with a key, on any screen, in light and dark.
import assert from "node:assert/strict";
import { contrastComplaints, namelessControls } from "./accessibility.mjs";
import {
  MODEL,
  answers,
  ask,
  brisk,
  close,
  finished,
  open,
  runInBrowser,
  shot,
  textOf,
} from "./browser.mjs";
import { startServer, until } from "./support.mjs";

const tests = {
  async theKeyboardAloneIsEnough() {
    const page = await open();
    const focused = () =>
      page.evaluate(() => {
        const element = document.activeElement;
        return (
          element.getAttribute("aria-label") ??
          element.labels?.[0]?.firstChild.textContent.trim() ??
          element.textContent.trim()
        );
      });
    await page.getByRole("textbox", { name: "Message" }).waitFor();
    assert.equal(await focused(), "Message", "one can write at once");
    await page.keyboard.type("Who are you?");
    await page.keyboard.press("Enter");
    await finished(page);
    assert.equal(await focused(), "Message");
    const order = [];
    await page.evaluate(() => {
      document.activeElement.blur();
      document.querySelector(".skip").focus();
    });
    for (let i = 0; i < 30 && order.at(-1) !== "Message"; ++i) {
      await page.keyboard.press("Tab");
      order.push(await focused());
    }
    const text = "Text of the answer; arrow keys step through its tokens";
    const expected = [
      "brisk, to the chat",
      "Chat",
      "Monitor",
      "Models",
      "Reports",
      "Use dark colours",
      "New chat",
      "Parameters",
      "Conversation",
      text,
      "Copy the answer",
      "Answer again",
      "Message",
    ];
    assert.deepEqual(
      expected.filter((name) => order.includes(name)),
      expected,
      `focus went over ${order.join(" | ")}`,
    );
    assert.deepEqual(
      [...expected].sort((a, b) => order.indexOf(a) - order.indexOf(b)),
      expected,
      "in this order",
    );
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
    const kept = await page.evaluate(() => [
      JSON.stringify({ ...sessionStorage }),
      JSON.stringify({ ...localStorage }),
      document.cookie,
      location.href,
    ]);
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
      const wide = await page.evaluate(
        () =>
          Math.max(
            document.documentElement.scrollWidth,
            document.querySelector("main").scrollWidth,
          ) - innerWidth,
      );
      assert.ok(wide <= 0, `${view} is ${wide} px too wide`);
      await shot(page, `${view.toLowerCase()}-narrow`);
    }
    await close(page);
  },
};

await runInBrowser(tests);
