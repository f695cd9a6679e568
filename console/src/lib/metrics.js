// Prometheus' text format, and what can be known from two scrapes of it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", "\\": "\\", '"': '"' };

const number = (text) => ({ "+Inf": Infinity, "-Inf": -Infinity })[text] ?? Number(text);

// Map: name -> [{labels, value}]
export function parseMetrics(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) {
      labels[name] = value.replace(/\\(.)/g, (_, char) => ESCAPES[char] ?? char);
    }
    if (!samples.has(found[1])) samples.set(found[1], []);
    samples.get(found[1]).push({ labels, value: number(found[3]) });
  }
  return samples;
}

export function modelNames(samples) {
  const names = new Set();
  for (const list of samples.values()) {
    for (const { labels } of list) if (labels.model_name) names.add(labels.model_name);
  }
  return [...names].sort();
}

const of = (samples, name, model) =>
  (samples.get(name) ?? []).filter(({ labels }) => !model || labels.model_name === model);

// Summed over models, or of one of them.
export const total = (samples, name, model) =>
  of(samples, name, model).reduce((sum, { value }) => sum + value, 0);

export const largest = (samples, name, model) =>
  of(samples, name, model).reduce((max, { value }) => Math.max(max, value), 0);

// {bounds, counts (cumulative), sum, count}
export function histogram(samples, name, model) {
  const counts = new Map();
  for (const { labels, value } of of(samples, `${name}_bucket`, model)) {
    const bound = number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  const bounds = [...counts.keys()].sort((a, b) => a - b);
  return {
    bounds,
    counts: bounds.map((bound) => counts.get(bound)),
    sum: total(samples, `${name}_sum`, model),
    count: total(samples, `${name}_count`, model),
  };
}

// What was observed between two scrapes; null when nothing was, or the server began anew.
export function difference(before, after) {
  if (!before || after.count <= before.count || before.bounds.length !== after.bounds.length)
    return null;
  return {
    bounds: after.bounds,
    counts: after.counts.map((count, i) => count - before.counts[i]),
    sum: after.sum - before.sum,
    count: after.count - before.count,
  };
}

// As Prometheus' histogram_quantile: linear inside a bucket, its lower end for the last one.
export function quantile(hist, q) {
  if (!hist || hist.count <= 0) return null;
  const rank = q * hist.count;
  const at = hist.counts.findIndex((count) => count >= rank);
  if (at < 0 || hist.bounds[at] === Infinity) return hist.bounds[hist.bounds.length - 2] ?? null;
  const low = at === 0 ? 0 : hist.bounds[at - 1];
  const below = at === 0 ? 0 : hist.counts[at - 1];
  const inside = hist.counts[at] - below;
  return low + (hist.bounds[at] - low) * (inside > 0 ? (rank - below) / inside : 1);
}

export const mean = (hist) => (hist && hist.count > 0 ? hist.sum / hist.count : null);

// Per second between two totals; null when the server began anew.
export const rate = (before, after, seconds) =>
  before === undefined || after < before || seconds <= 0 ? null : (after - before) / seconds;
