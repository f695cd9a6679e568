#!/usr/bin/env python3
"""Measures brisk on this machine and writes the table of docs/performance.md.

  bench/table.py BRISK MODELS [--repetitions N] [--write docs/performance.md]

MODELS is a directory for the benchmark models (random weights in the shape of Llama 3.2 1B, about
5 GB), which are made when they are not there. Every figure stands beside the limit that the same
run measured: absolute figures drift on shared machines.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

SHAPE = "llama-3.2-1b"
FORMATS = ["q4_0", "q4_k_m", "q8_0", "bf16"]
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def model(brisk, directory, name):
    path = directory / f"{SHAPE}-{name}.gguf"
    if not path.exists():
        subprocess.run([brisk, "synth", "--shape", SHAPE, "--format", name, "--out", path],
                       check=True)
    return path


def bench(brisk, path, tests, batches=(1,), isa=None, repetitions=5):
    environment = dict(os.environ)
    if isa:
        environment["BRISK_ISA"] = isa
    out = subprocess.run(
        [brisk, "bench", path, "--json", "--test", ",".join(tests), "--batch",
         ",".join(map(str, batches)), "--repetitions", str(repetitions)],
        check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(out)


def row(label, result):
    share = f"{100 * result['fraction_of_limit']:.0f} % of {result['bound']}"
    if result["bound"] == "memory":
        limits = f"{result['read_bytes_per_s'] / 1e9:.1f} GB/s"
    else:
        integers = {result["int8_ops_per_s"], result["int4_ops_per_s"]}
        limits = " and ".join(f"{ops / 1e9:.0f}" for ops in sorted(integers)) + " GOP/s, "
        limits += f"{result['flops_per_s'] / 1e9:.0f} GFLOP/s"
        if result["bf16_tile_ops_per_s"] > 0:
            limits += f", tiles {result['bf16_tile_ops_per_s'] / 1e9:.0f} GFLOP/s"
    speeds = f"{result['tokens_per_s']:.1f} | {result['limit']:.1f}"
    return f"| {label} | {speeds} | {share} | {limits} |"


def start_seconds(brisk, path):
    """Seconds of the whole command that says one token."""
    seconds = []
    for _ in range(5):
        begin = time.monotonic()
        subprocess.run([brisk, "run", path, "-p", "Hello", "-n", "1", "--temp", "0"], check=True,
                       capture_output=True)
        seconds.append(time.monotonic() - begin)
    return statistics.median(seconds)


def measure(brisk, directory, repetitions):
    models = {name: model(brisk, directory, name) for name in FORMATS}
    lines, first = [], None
    for name, path in models.items():
        results = bench(brisk, path, ["pp512", "tg128", "tg128@2048"], repetitions=repetitions)
        first = first or results[0]
        for result in results:
            lines.append(row(f"{name} {result['test']}", result))
    q4 = models["q4_0"]
    for result in bench(brisk, q4, ["pp2048", "tg64@4096"], repetitions=repetitions):
        lines.append(row(f"q4_0 {result['test']}", result))
    for name in ["q4_0", "q8_0"]:
        results = bench(brisk, models[name], ["tg32@128"], [1, 2, 8, 16, 32], repetitions=repetitions)
        single = results[0]["tokens_per_s"]
        for result in results[1:]:
            times = result["tokens_per_s"] / single
            lines.append(row(f"{name} {result['test']}, {result['batch']} sequences "
                             f"({times:.1f} times one)", result))
    for isa in sorted({"avx2", "avx512"} - {first["isa"]}):
        for name in ["q4_0", "q8_0", "bf16"]:
            try:
                results = bench(brisk, models[name], ["pp512", "tg64"], isa=isa,
                                repetitions=repetitions)
            except subprocess.CalledProcessError:
                continue  # this machine does not have it
            lines += [row(f"{name} {result['test']}, {isa}", result) for result in results]
    compiled = directory / f"{SHAPE}-q4_0.brisk.gguf"
    if not compiled.exists():
        subprocess.run([brisk, "compile", q4, compiled], check=True, capture_output=True)
    start = start_seconds(brisk, compiled)
    return lines, first, start


def render(lines, first, start, repetitions):
    text = [
        BEGIN,
        f"{first['isa']}, {first['threads']} threads, medians of {repetitions}; the limits as they were around each test's runs.",
        "",
        "| test | tokens/s | limit | reached | limits |",
        "|---|---|---|---|---|",
        *lines,
        "",
        f"Start to first token of the compiled q4_0 model, the whole command: {start:.2f} s.",
        END,
    ]
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("brisk", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--repetitions", type=int, default=5, help="of every test; the median counts")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    options.models.mkdir(parents=True, exist_ok=True)
    table = render(*measure(options.brisk, options.models, options.repetitions), options.repetitions)
    print(table)
    if options.write:
        page = options.write.read_text()
        before, rest = page.split(BEGIN)
        options.write.write_text(before + table + rest.split(END)[1])


if __name__ == "__main__":
    main()
