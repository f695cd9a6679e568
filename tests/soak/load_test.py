#!/usr/bin/env python3
"""Many clients for long, some of whom vanish in the middle: no error but the documented ones, and
memory stays flat.

  load_test.py BRISK MODEL [--seconds 300] [--clients 256] [--vanishing 0.1]
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from running_server import Server  # noqa: E402

RESIDENT_GROWTH_MAX = 16 << 20  # bytes, from the second quarter of the time to the last
SECONDS_MAX = 120  # for one answer
CHAT = "{% for m in messages %}{{ m.content }}{% endfor %}"


def request_of(rng):
    """A path and a body: most are right."""
    sampling = {"max_tokens": rng.choice([1, 8, 30]), "temperature": rng.choice([0, 1]),
                "stream": rng.random() < 0.5}
    chat = {"messages": [{"role": "user", "content": "Once upon a time"}], "chat_template": CHAT}
    kind = rng.randrange(10)
    if kind < 4:
        return "/v1/completions", {"prompt": "The dog " * rng.choice([1, 5, 20]), **sampling}
    if kind < 7:
        return "/v1/chat/completions", {**chat, **sampling, "n": rng.choice([1, 2])}
    if kind == 7:
        return "/v1/completions", {"prompt": "a", "guided_regex": "[a-z ]{1,20}", **sampling}
    if kind == 8:
        return "/v1/embeddings", {"input": ["a", "b"]}
    return "/v1/completions", {"prompt": "a", "n": 0}


class Client:
    def __init__(self, server, number, options, counts, faults):
        self.server, self.options, self.counts, self.faults = server, options, counts, faults
        self.rng = random.Random(number)

    async def run(self, end):
        while time.monotonic() < end and len(self.faults) < 10:
            path, body = request_of(self.rng)
            try:
                vanishes = self.rng.random() < self.options.vanishing
                await asyncio.wait_for(self.exchange(path, body, vanishes), SECONDS_MAX)
            except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
                self.faults.append(f"{path} {body}: {type(error).__name__} {error}")

    async def exchange(self, path, body, vanishes):
        reader, writer = await asyncio.open_connection(self.server.host, self.server.port)
        try:
            data = json.dumps(body).encode()
            writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
            if vanishes:
                self.counts["vanished"] += 1
                try:  # in the middle, or never read
                    await asyncio.wait_for(reader.read(self.rng.randrange(1, 2000)),
                                           self.rng.random() * 0.5)
                except asyncio.TimeoutError:
                    pass
                writer.transport.abort()
                return
            answer = await reader.read(-1)
            await self.judge(body, answer)
        finally:
            writer.close()

    async def judge(self, body, answer):
        if not answer.startswith(b"HTTP/1.1 "):
            raise ValueError(f"answered {answer[:80]}")
        status = int(answer[9:12])
        self.counts[status] += 1
        wrong = body.get("n") == 0
        if status == 429 and b"\r\nretry-after:" in answer.lower():
            await asyncio.sleep(self.rng.random() * 0.2)
        elif status != (400 if wrong else 200):
            raise ValueError(f"answered {answer[:300]}")
        elif body.get("stream") and (b"\"error\"" in answer or b"data: [DONE]" not in answer):
            raise ValueError(f"a stream that ended {answer[-300:]}")


def resident(server):
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


async def watch(server, seconds, samples):
    for _ in range(40):
        await asyncio.sleep(seconds / 40)
        samples.append(resident(server))


async def load(server, options, counts, faults, samples):
    end = time.monotonic() + options.seconds
    clients = [Client(server, number, options, counts, faults).run(end)
               for number in range(options.clients)]
    await asyncio.gather(watch(server, options.seconds, samples), *clients)


def held(server):
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(
        ("brisk:num_requests_running{", "brisk:num_requests_waiting{", "brisk:kv_cache_usage_perc{")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("brisk")
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=256)
    parser.add_argument("--vanishing", type=float, default=0.1)
    options = parser.parse_args()
    counts, faults, samples = Counter(), [], []
    with Server(options.brisk, options.model, "--kv-tokens", "8192", "--sequences-max", "64",
                "--queue-max", "200") as server:
        asyncio.run(load(server, options, counts, faults, samples))
        deadline = time.monotonic() + 30
        while held(server) and time.monotonic() < deadline:
            time.sleep(0.1)
        if held(server):
            faults.append("requests or blocks are held at the end")
    early, late = statistics.median(samples[10:20]), statistics.median(samples[30:])
    print(f"{options.seconds:g} s, {options.clients} clients: "
          f"{dict(sorted(counts.items(), key=str))}, resident {early / 2**20:.1f} to "
          f"{late / 2**20:.1f} MiB")
    if late > early + RESIDENT_GROWTH_MAX:
        faults.append("resident memory grew")
    if not counts[200] or not counts["vanished"]:
        faults.append("nothing was answered, or nobody vanished")
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
