// What the console computes, without a browser.
//
//   node libraries_test.mjs
import assert from "node:assert/strict";
import { curlCommand } from "../../console/src/lib/curl.js";
import { count, percent, seconds, visible } from "../../console/src/lib/format.js";
import { historyOf } from "../../console/src/lib/history.js";
import * as metrics from "../../console/src/lib/metrics.js";
import { present, readReport } from "../../console/src/lib/reports.js";
import { EventParser } from "../../console/src/lib/sse.js";
import { additionOf, doubt, piecesOf } from "../../console/src/lib/tokens.js";
import { runTests } from "./support.mjs";

const SCRAPE = `# HELP brisk:tokens_total Tokens.
# TYPE brisk:tokens_total counter
brisk:tokens_total{model_name="a"} 10
brisk:tokens_total{model_name="b \\"quoted\\", {braces}"} 5 1700000000
brisk:seconds_bucket{model_name="a",le="0.1"} 2
brisk:seconds_bucket{model_name="a",le="0.2"} 6
brisk:seconds_bucket{model_name="a",le="+Inf"} 8
brisk:seconds_count{model_name="a"} 8
brisk:seconds_sum{model_name="a"} 1.5
nonsense
`;

const tests = {
  eventsComeWholeHoweverTheyAreCut() {
    const text =
      "data: one\n\n: ping\n\ndata: two\ndata: lines\n\nevent: x\ndata:three\r\n\r\ndata: [DONE]\n\ndata: cut";
    const whole = new EventParser().push(text);
    assert.deepEqual(whole, ["one", "two\nlines", "three", "[DONE]"]);
    for (let size = 1; size < 9; ++size) {
      const parser = new EventParser();
      const found = [];
      for (let at = 0; at < text.length; at += size)
        found.push(...parser.push(text.slice(at, at + size)));
      assert.deepEqual(found, whole, `cut into ${size}`);
    }
  },

  metricsAreReadWithTheirLabels() {
    const samples = metrics.parseMetrics(SCRAPE);
    assert.deepEqual(metrics.modelNames(samples), ["a", 'b "quoted", {braces}']);
    assert.equal(metrics.total(samples, "brisk:tokens_total"), 15);
    assert.equal(metrics.total(samples, "brisk:tokens_total", "a"), 10);
    assert.equal(metrics.largest(samples, "brisk:tokens_total"), 10);
    assert.equal(metrics.total(samples, "brisk:absent"), 0);
  },

  quantilesAreThoseOfPrometheus() {
    const hist = metrics.histogram(metrics.parseMetrics(SCRAPE), "brisk:seconds", "a");
    assert.deepEqual(hist.bounds, [0.1, 0.2, Infinity]);
    assert.equal(metrics.quantile(hist, 0.25), 0.1);
    assert.ok(Math.abs(metrics.quantile(hist, 0.5) - 0.15) < 1e-12);
    assert.equal(metrics.quantile(hist, 0.99), 0.2, "the last bucket has no upper end");
    assert.equal(metrics.mean(hist), 1.5 / 8);
    assert.equal(metrics.quantile(null, 0.5), null);
  },

  differencesAreOfWhatCameBetween() {
    const before = { bounds: [1, 2, Infinity], counts: [4, 4, 4], sum: 2, count: 4 };
    const after = { bounds: [1, 2, Infinity], counts: [4, 14, 14], sum: 17, count: 14 };
    const between = metrics.difference(before, after);
    assert.deepEqual(between, {
      bounds: [1, 2, Infinity],
      counts: [0, 10, 10],
      sum: 15,
      count: 10,
    });
    assert.equal(metrics.quantile(between, 0.5), 1.5, "what was before does not count");
    assert.equal(metrics.difference(after, after), null, "nothing came");
    assert.equal(metrics.difference(after, before), null, "the server began anew");
    assert.equal(metrics.rate(10, 30, 2), 10);
    assert.equal(metrics.rate(30, 10, 2), null);
    assert.equal(metrics.rate(undefined, 10, 2), null);
  },

  piecesJoinToTheText() {
    const token = (text, logprob = -1) => ({
      token: text,
      logprob,
      bytes: [...Buffer.from(text)],
      top_logprobs: [],
    });
    const texts = (pieces) => pieces.map((piece) => piece.text);
    assert.deepEqual(texts(piecesOf("a b", [token("a"), token(" b")])), ["a", " b"]);
    assert.deepEqual(
      texts(piecesOf("Once", [token(" Once")])),
      ["Once"],
      "the first space is not text",
    );
    assert.deepEqual(
      texts(piecesOf("x", [token("x"), token("<|end|>")])),
      ["x"],
      "what ends the turn is not text",
    );
    assert.deepEqual(texts(piecesOf("", [token("<|end|>")])), []);
    assert.deepEqual(piecesOf("plain", undefined), [{ text: "plain", tokens: [] }]);
    const [euro] = piecesOf(
      "€",
      [0xe2, 0x82, 0xac].map((byte) => ({ token: "\ufffd", logprob: -1, bytes: [byte] })),
    );
    assert.equal(euro.text, "€");
    assert.deepEqual(
      euro.tokens.map(({ text }) => text),
      ["<0xE2>", "<0x82>", "<0xAC>"],
    );
    assert.deepEqual(
      [0, -0.2, -1, -1.5, -9].map((logprob) => doubt({ tokens: [{ logprob }] })),
      [0, 1, 2, 3, 4],
    );
  },

  additionsOfChatsAndCompletionsAreAlike() {
    const entry = { token: " b", logprob: -1, top_logprobs: [{ token: " b", logprob: -1 }] };
    const chat = { delta: { content: " b" }, logprobs: { content: [entry] } };
    const completion = {
      text: " b",
      logprobs: { tokens: [" b"], token_logprobs: [-1], top_logprobs: [{ " b": -1 }] },
    };
    assert.deepEqual(additionOf(chat), { content: " b", entries: [entry] });
    assert.deepEqual(additionOf(completion), additionOf(chat));
    assert.deepEqual(additionOf({ delta: {}, logprobs: null }), { content: "", entries: [] });
    assert.deepEqual(additionOf({ text: "a", logprobs: null }), { content: "a", entries: [] });
  },

  questionsWithoutAnAnswerAreNotTold() {
    const [user, assistant] = ["user", "assistant"].map((role) => (content) => ({ role, content }));
    const told = (...messages) => historyOf(messages).map(({ content }) => content);
    assert.deepEqual(told(user("a"), assistant("b"), user("c")), ["a", "b", "c"]);
    assert.deepEqual(told(user("a"), assistant(""), user("c")), ["c"]);
    assert.deepEqual(told(user("a")), ["a"]);
    assert.deepEqual(historyOf([{ ...user("a"), state: "done" }]), [user("a")]);
  },

  numbersAreForPeople() {
    assert.deepEqual([0, 3.14159, 42.42, 1234.5, 123456, 7654321, null].map(count), [
      "0",
      "3.14",
      "42.4",
      "1,235",
      "123k",
      "7.7M",
      "–",
    ]);
    assert.deepEqual([0, 5e-5, 0.0012, 0.035, 0.5, 2.5, 75, 130, undefined].map(seconds), [
      "0 s",
      "50 µs",
      "1.2 ms",
      "35 ms",
      "500 ms",
      "2.50 s",
      "75.0 s",
      "2 min 10 s",
      "–",
    ]);
    assert.deepEqual([0, 0.0001, 0.05, 0.5, 0.9975, 1].map(percent), [
      "0 %",
      "< 0.1 %",
      "5.0 %",
      "50 %",
      "99.8 %",
      "100 %",
    ]);
    assert.equal(visible(" a\n\t\u0007"), "␣a⏎⇥\\x07");
  },

  reportsAreKnownByWhatTheyHave() {
    const run = { completed: 3, mean_ttft_ms: 5, output_throughput: 9 };
    const single = readReport("one.json", JSON.stringify(run));
    assert.deepEqual([single.kind, single.runs.length], ["load", 1]);
    assert.deepEqual(
      present(single).map(({ title }) => title),
      ["Requests", "Tokens", "Time to first token"],
    );
    const sweep = readReport(
      "sweep.json",
      JSON.stringify({
        sweep: "rate",
        last_good: 2,
        points: [
          { ...run, rate: 1 },
          { ...run, rate: 2 },
        ],
      }),
    );
    assert.equal(sweep.over, "rate");
    assert.deepEqual(
      sweep.runs.map(({ x }) => x),
      [1, 2],
    );
    const policies = readReport(
      "policies.json",
      JSON.stringify([
        { ...run, policy: "static" },
        { ...run, policy: "iteration" },
      ]),
    );
    assert.deepEqual([policies.over, policies.runs[0].label], [null, "static"]);
    assert.equal(readReport("bench.json", '[{"test":"pp8","tokens_per_s":1}]').kind, "bench");
    for (const wrong of [
      "",
      "{",
      "3",
      "null",
      "[]",
      "{}",
      '{"points":[]}',
      '{"points":[null]}',
      '[{"test":1}]',
      "[[]]",
      JSON.stringify(Array(201).fill(run)),
    ]) {
      assert.throws(() => readReport("wrong.json", wrong), /^Error: wrong\.json /, wrong);
    }
  },

  curlCommandsSurviveAnyText() {
    const body = { messages: [{ role: "user", content: "it's $HOME `x` \\ \"" }] };
    const command = curlCommand("http://127.0.0.1:8000", { path: "/v1/completions", body });
    const quoted = command.slice(command.indexOf("-d ") + 3);
    assert.equal(quoted, `'${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  },
};

await runTests(tests);
