// Numbers for people. Everything missing is a dash.

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export function count(value) {
  if (missing(value)) return "–";
  if (Math.abs(value) >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (Math.abs(value) >= 1e5) return `${(value / 1e3).toFixed(0)}k`;
  return value.toLocaleString("en", {
    maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0,
  });
}

export function seconds(value) {
  if (missing(value)) return "–";
  if (value === 0) return "0 s";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 0.01) return `${(value * 1e3).toFixed(1)} ms`;
  if (value < 1) return `${(value * 1e3).toFixed(0)} ms`;
  if (value < 100) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export function bytes(value) {
  if (missing(value)) return "–";
  const unit = value >= 2 ** 30 ? ["GiB", 2 ** 30] : ["MiB", 2 ** 20];
  return `${(value / unit[1]).toFixed(value / unit[1] < 10 ? 1 : 0)} ${unit[0]}`;
}

export function percent(fraction) {
  if (missing(fraction)) return "–";
  const value = fraction * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  const fine = (value > 0 && value < 10) || (value > 99 && value < 100);
  return `${value.toFixed(fine ? 1 : 0)} %`;
}

// White space and control characters of a token made visible.
export function visible(text) {
  return text
    .replaceAll(" ", "␣")
    .replaceAll("\n", "⏎")
    .replaceAll("\t", "⇥")
    .replace(
      /[\u0000-\u001f\u007f]/g,
      (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
    );
}
