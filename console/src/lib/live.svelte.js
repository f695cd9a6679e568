// The server's metrics, asked for every second, and what became of them in the last minutes.
import { access, getText } from "./api.svelte.js";
import * as metrics from "./metrics.js";

export const PERIOD_SECONDS = 1;
export const HISTORY = 300; // samples
const WINDOW = 15; // seconds that percentiles look back on

const QUANTILES = [0.5, 0.9, 0.99];
export const SERIES = [
  "generated",
  "prompt",
  "ttft50",
  "ttft90",
  "ttft99",
  "itl50",
  "itl90",
  "itl99",
  "kv",
  "running",
  "waiting",
  "batch",
];

export class Live {
  connected = $state(null); // null: not known yet
  error = $state("");
  names = $state.raw([]); // models in the metrics
  model = $state(""); // "": all together
  // {time: [...], <series>: [...]}, oldest first; null where nothing was observed.
  history = $state.raw({ time: [], ...Object.fromEntries(SERIES.map((name) => [name, []])) });
  #scrapes = []; // {time, samples}, of the last WINDOW seconds
  #timer = 0;

  last(name) {
    return this.history[name].at(-1) ?? null;
  }

  start() {
    const tick = async () => {
      const began = performance.now();
      if (!access.wanted) await this.#scrape();
      const left = PERIOD_SECONDS * 1000 - (performance.now() - began);
      this.#timer = setTimeout(tick, Math.max(left, 100));
    };
    tick();
    return () => clearTimeout(this.#timer);
  }

  // Another model has another history.
  show(model) {
    this.model = model;
    this.#scrapes = [];
    this.history = { time: [], ...Object.fromEntries(SERIES.map((name) => [name, []])) };
  }

  async #scrape() {
    try {
      const text = await getText("/metrics");
      this.connected = true;
      this.error = "";
      this.#take({ time: Date.now() / 1000, samples: metrics.parseMetrics(text) });
    } catch (error) {
      this.connected = false;
      this.error = error.status ? error.message : "the server cannot be reached";
      this.#scrapes = [];
      if (this.history.time.length > 0) this.#append(Date.now() / 1000, {});
    }
  }

  #take(scrape) {
    this.names = metrics.modelNames(scrape.samples);
    const before = this.#scrapes.at(-1);
    this.#scrapes = [...this.#scrapes.filter(({ time }) => time > scrape.time - WINDOW), scrape];
    this.#append(scrape.time, figures(before, this.#scrapes[0], scrape, this.model));
  }

  #append(time, values) {
    const next = { time: [...this.history.time, time].slice(-HISTORY) };
    for (const name of SERIES)
      next[name] = [...this.history[name], values[name] ?? null].slice(-HISTORY);
    this.history = next;
  }
}

// `before` is the scrape before `now`, `oldest` the first of the window.
function figures(before, oldest, now, model) {
  const value = (name) => metrics.total(now.samples, name, model);
  const values = {
    running: value("brisk:num_requests_running"),
    waiting: value("brisk:num_requests_waiting"),
    kv: metrics.largest(now.samples, "brisk:kv_cache_usage_perc", model),
  };
  if (!before) return values;
  const perSecond = (name) =>
    metrics.rate(metrics.total(before.samples, name, model), value(name), now.time - before.time);
  const between = (from, name) =>
    metrics.difference(
      metrics.histogram(from.samples, name, model),
      metrics.histogram(now.samples, name, model),
    );
  values.generated = perSecond("brisk:generation_tokens_total");
  values.prompt = perSecond("brisk:prompt_tokens_total");
  values.batch = metrics.mean(between(before, "brisk:iteration_tokens_total"));
  for (const [series, name] of [
    ["ttft", "brisk:time_to_first_token_seconds"],
    ["itl", "brisk:inter_token_latency_seconds"],
  ]) {
    const seen = between(oldest, name);
    for (const q of QUANTILES) values[series + q * 100] = metrics.quantile(seen, q);
  }
  return values;
}

export const live = new Live();
