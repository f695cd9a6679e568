// Reports of `brisk load --json`, `brisk bench --json`, `brisk bench serve --json`, and of vLLM's
// `vllm bench serve`, which has the same names.
//
// {kind: "load", title, over, runs: [{label, x, figures}]}: a run each, or those of a sweep over `over`
// {kind: "bench", title, tests: [...]}

export const BYTES_MAX = 16 << 20;
const RUNS_MAX = 200;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isLoad = (value) =>
  isObject(value) &&
  ["completed", "request_throughput", "output_throughput", "mean_ttft_ms"].some(
    (key) => typeof value[key] === "number",
  );
const isBench = (value) =>
  isObject(value) && typeof value.test === "string" && typeof value.tokens_per_s === "number";

export function readReport(title, text) {
  let json;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`${title} is not JSON: ${error.message}`);
  }
  if (isLoad(json))
    return { kind: "load", title, over: null, runs: [{ label: "", x: null, figures: json }] };
  const list = isObject(json) ? json.points : json;
  if (!Array.isArray(list) || list.length === 0) throw unknown(title);
  if (list.length > RUNS_MAX)
    throw new Error(`${title} has ${list.length} runs; at most ${RUNS_MAX} are shown`);
  if (list.every(isBench)) return { kind: "bench", title, tests: list };
  if (!list.every(isLoad)) throw unknown(title);
  const over = typeof json.sweep === "string" ? json.sweep : null;
  const runs = list.map((figures, i) => ({
    label: String(over ? figures[over] : (figures.policy ?? i + 1)),
    x: over && typeof figures[over] === "number" ? figures[over] : null,
    figures,
  }));
  return { kind: "load", title, over: runs.every(({ x }) => x !== null) ? over : null, runs };
}

const unknown = (title) =>
  new Error(
    `${title} is no report that is known here: give the output of brisk load --json, brisk bench --json or brisk bench serve --json`,
  );

const latency = (name) =>
  ["mean", "median", "p90", "p99"].map((figure) => ({
    key: `${figure}_${name}_ms`,
    label: figure === "median" ? "median" : figure === "mean" ? "mean" : figure.toUpperCase(),
    unit: "ms",
  }));

export const groups = [
  {
    title: "Requests",
    rows: [
      { key: "completed", label: "served", unit: "count" },
      { key: "failed", label: "failed", unit: "count" },
      { key: "refused", label: "refused (429)", unit: "count" },
      { key: "goodput_fraction", label: "within the objectives", unit: "share" },
      { key: "request_throughput", label: "per second", unit: "count" },
      { key: "max_concurrent_requests", label: "at once, at most", unit: "count" },
    ],
  },
  {
    title: "Tokens",
    rows: [
      { key: "total_input_tokens", label: "of prompts", unit: "count" },
      { key: "total_cached_tokens", label: "of these cached", unit: "count" },
      { key: "total_output_tokens", label: "generated", unit: "count" },
      { key: "output_throughput", label: "generated per second", unit: "count" },
      { key: "total_token_throughput", label: "all per second", unit: "count" },
    ],
  },
  { title: "Time to first token", rows: latency("ttft") },
  { title: "Time per output token", rows: latency("tpot") },
  { title: "Between tokens", rows: latency("itl") },
  { title: "Whole request", rows: latency("e2el") },
];

// The groups and rows that a run of the report has figures for.
export function present(report) {
  const has = ({ key }) => report.runs.some(({ figures }) => typeof figures[key] === "number");
  return groups
    .map((group) => ({ ...group, rows: group.rows.filter(has) }))
    .filter(({ rows }) => rows.length > 0);
}
