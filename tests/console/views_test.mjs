// Plots, running requests, models and reports in Chromium.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  LONG,
  MODEL,
  answers,
  brisk,
  call,
  close,
  open,
  repository,
  runInBrowser,
  running,
  server,
  shot,
} from "./browser.mjs";
import { startServer, until } from "./support.mjs";

const tests = {
  async plotsShowWhatTheServerDoes() {
    const page = await open({ view: "monitor" });
    const plot = (name) => page.getByRole("img", { name: new RegExp(`^${name}:`) });
    await plot("Throughput").waitFor();
    const work = Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        call("/v1/completions", {
          method: "POST",
          body: { prompt: `Story ${i}:`, n: 4, ignore_eos: true, max_tokens: 150 },
        }),
      ),
    );
    const label = (name) => plot(name).getAttribute("aria-label");
    await until(async () => /generated [1-9]/.test(await label("Throughput")), "throughput");
    await until(async () => /running [1-9]/.test(await label("Queue")), "running requests");
    await until(async () => /mean [1-9]/.test(await label("Batch")), "batches");
    await until(async () => /in use (< )?[0-9.]*[1-9]/.test(await label("KV cache")), "KV use");
    await shot(page, "monitor-busy");
    for (const answer of await work) assert.equal(answer.status, 200);
    for (const name of ["Time to first token", "Between tokens"]) {
      await until(
        async () =>
          /p50 [\d.]+ (µs|ms|s), p90 [\d.]+ (µs|ms|s), p99 [\d.]+ (µs|ms|s)/.test(
            await label(name),
          ),
        `percentiles: ${name}`,
      );
    }
    // A short burst paints few pixels of the line at once; it goes on as the server rests.
    const painted = () =>
      plot("Throughput")
        .locator("canvas")
        .evaluate((canvas) => {
          const wanted = getComputedStyle(document.documentElement)
            .getPropertyValue("--plot-1")
            .trim();
          const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let pixels = 0;
          for (let i = 0; i < data.length; i += 4)
            pixels += data[i] === r && data[i + 1] === g && data[i + 2] === b;
          return pixels;
        });
    await until(async () => (await painted()) > 20, "the line of the throughput");
    await close(page);
  },

  async runningRequestsCanBeCancelled() {
    const page = await open({ view: "monitor" });
    await page.getByText("Nothing is running.").waitFor();
    const request = call("/v1/completions", {
      method: "POST",
      body: { prompt: "Once upon a time", ...LONG },
    });
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
    await shot(page, "models");
    await close(page);
  },

  // What a server of many models says; this one has one.
  async modelsWithAStateCanBeLoadedAndUnloaded() {
    const page = await open({ view: "models" });
    const states = {
      small: { value: "loaded", in_use: 2, memory_bytes: 3 << 20 },
      "org/other": { value: "unloaded" },
      slow: { value: "loading", progress: 0.4 },
      broken: { value: "failed", error: "model.gguf: it ends too early" },
    };
    const data = () =>
      Object.entries(states).map(([id, status]) => ({ id, root: id, parent: null, status }));
    const asked = [];
    await page.route("**/v1/models", (route) =>
      route.fulfill({
        json: { data: [...data(), { ...data()[0], id: "alias", root: "small" }] },
      }),
    );
    await page.route("**/v2/repository/models/**", (route) => {
      asked.push(`${route.request().method()} ${new URL(route.request().url()).pathname}`);
      states["org/other"].value = "loaded";
      return route.fulfill({ json: {} });
    });
    const row = (name) => page.getByRole("row", { name });
    await page.getByRole("button", { name: "Load org/other" }).click();
    await page.getByText("org/other is loaded.").waitFor();
    await page.getByRole("button", { name: "Unload org/other" }).waitFor();
    assert.match(await row(/^small/).innerText(), /in use.*3\.0 MiB/s);
    assert.match(await row(/^slow/).innerText(), /40 %/);
    assert.match(await row(/^broken/).innerText(), /ends too early/);
    for (const name of [/^slow/, /^alias/]) {
      assert.equal(await row(name).getByRole("button").count(), 0);
    }
    assert.deepEqual(asked, ["POST /v2/repository/models/org/other/load"]);
    await shot(page, "models-states");
    await close(page);
  },

  async reportsOfTheBenchmarksAreShown() {
    const page = await open({ view: "reports" });
    const files = {
      "bench.json": ["bench", MODEL, "--test", "pp16,tg8", "--repetitions", "1", "--json"],
      "load.json": [
        "load",
        "--url",
        server.url,
        "--requests",
        "6",
        "--prompt-tokens",
        "8",
        "--output-tokens",
        "8",
        "--json",
      ],
      "sweep.json": [
        "load",
        "--url",
        server.url,
        "--sweep",
        "rate=20,40",
        "--slo",
        "ttft=60s",
        "--requests",
        "6",
        "--prompt-tokens",
        "8",
        "--output-tokens",
        "8",
        "--json",
      ],
    };
    const reports = Object.entries(files).map(([name, args]) => ({
      name,
      mimeType: "application/json",
      buffer: execFileSync(brisk, args, { stdio: ["ignore", "pipe", "ignore"] }),
    }));
    const input = page.locator("input[type=file]");
    await input.setInputFiles(reports);
    const report = (name) => page.getByRole("region", { name });
    const bench = JSON.parse(reports[0].buffer);
    await report("bench.json").waitFor();
    assert.equal(
      await report("bench.json")
        .getByRole("row", { name: /^(pp|tg)/ })
        .count(),
      bench.length,
    );
    assert.match(
      await report("load.json")
        .getByRole("row", { name: /^served/ })
        .innerText(),
      /6/,
    );
    await report("sweep.json")
      .getByRole("img", { name: /^Time to first token: median/ })
      .waitFor();
    assert.match(
      await report("sweep.json").getByRole("row", { name: /^rate/ }).innerText(),
      /20\s+40/,
    );
    await page.setViewportSize({ width: 1280, height: 2400 });
    await shot(page, "reports");
    await input.setInputFiles([
      { name: "<b>wrong</b>.json", mimeType: "application/json", buffer: Buffer.from("{") },
    ]);
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

  async aServerThatGoesIsNoticed() {
    const short = await startServer(brisk, [MODEL]);
    const page = await open({ url: short.url, view: "monitor", expected: /net::ERR_/ });
    await page.getByText("idle").waitFor();
    assert.equal(await short.stop(), 0);
    await page.getByText("not connected").waitFor();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await close(page);
  },
};

await runInBrowser(tests);
