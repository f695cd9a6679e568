#!/usr/bin/env python3
"""A server under requests that were right before they were mutated: their JSON, their headers, their
chunks. None may crash it, get a 500 or leave anything behind.

  mutation_test.py BRISK MODEL [--requests N] [--seed S] [--only I] [--sanitized]

Request I of seed S is always the same one; --only sends it alone and shows it. --sanitized: BRISK is
built with sanitizers, whose memory says nothing.
"""

import argparse
import copy
import json
import os
import random
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from running_server import Server  # noqa: E402

THREADS = 8
SECONDS_MAX = 120  # for the answer to a request that came whole
RESIDENT_GROWTH_MAX = 24 << 20  # bytes, from the first half to the end
FINE = {200, 204, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 429, 431, 501, 503, 504,
        505}

CHAT = {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 3, "temperature": 0.7, "seed": 1, "logprobs": True, "top_logprobs": 2}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {
    "type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": [1, 2]}},
    "required": ["a"]}}}
CALLED = {"messages": [
    {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": \"b\"}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "done"}], "max_tokens": 2, "tools": [TOOL]}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9},
                                           "s": {"type": "array", "items": {"$ref": "#/$defs/x"}}},
          "$defs": {"x": {"type": "string", "pattern": "^[a-c]+$"}}, "required": ["n"]}
SEEDS = [
    ("/v1/completions", {"prompt": "Once", "max_tokens": 4, "stop": ["x", "y"], "n": 2,
                         "logit_bias": {"5": 2.5}, "logprobs": 1, "bad_words": ["a"]}),
    ("/v1/completions", {"prompt": ["a", "b"], "max_tokens": 2, "stream": True, "echo": True,
                         "stream_options": {"include_usage": True}}),
    ("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 1, "guided_regex": "[0-9]{2}"}),
    ("/v1/completions", {"prompt": "a", "max_tokens": 9, "guided_grammar": "root ::= \"a\" [b-d]*"}),
    ("/v1/completions", {"prompt": "a", "use_beam_search": True, "n": 3, "max_tokens": 3}),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "stream": True, "n": 2}),
    ("/v1/chat/completions", CALLED),
    ("/v1/chat/completions", {**CHAT, "tools": [TOOL], "tool_choice": "required"}),
    ("/v1/chat/completions", {**CHAT, "max_tokens": 20, "response_format": {
        "type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}}),
    ("/v1/chat/completions", {**CHAT, "chat_template":
                              "{% for m in messages %}{{ m.content | trim }}{% endfor %}"}),
    ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]},
                                 {"type": "function_call", "call_id": "c", "name": "f",
                                  "arguments": "{}"},
                                 {"type": "function_call_output", "call_id": "c", "output": "o"}],
                       "max_output_tokens": 3, "metadata": {"k": "v"}}),
    ("/v1/responses", {"input": "a", "stream": True, "max_output_tokens": 3, "text": {
        "format": {"type": "json_object"}}}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 3,
                      "system": [{"type": "text", "text": "s"}], "stop_sequences": ["z"],
                      "tools": [{"name": "f", "input_schema": {"type": "object"}}]}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 3,
                      "stream": True, "metadata": {"user_id": "u"}}),
    ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "a"}]}),
    ("/v1/embeddings", {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 8}),
    ("/tokenize", {"prompt": "a b", "return_token_strs": True}),
    ("/detokenize", {"tokens": [1, 2, 3]}),
    ("/apply-template", {"messages": [{"role": "user", "content": "a"}]}),
    ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "b"}),
    ("/v1/batches", {"input_file_id": "file-x", "endpoint": "/v1/completions",
                     "completion_window": "24h", "metadata": {"a": "b"}}),
    ("/v1/files", None),
    ("/v2/models/m/generate", {"text_input": "a", "parameters": {"max_tokens": 3}}),
    ("/v2/models/m/generate_stream", {"text_input": "a", "max_tokens": 3, "stream": True}),
    ("/v2/models/m/infer", {"id": "1", "inputs": [
        {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["a"]},
        {"name": "max_tokens", "shape": [1], "datatype": "INT32", "data": [3]}]}),
    ("/v2/repository/index", {"ready": True}),
]
FORM = (b"--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n"
        b"Content-Disposition: form-data; name=\"file\"; filename=\"x.jsonl\"\r\n\r\n"
        b"{\"custom_id\": \"a\", \"method\": \"POST\", \"url\": \"/v1/completions\", \"body\": {}}\r\n"
        b"--b--\r\n")
GETS = ["/", "/health", "/metrics", "/v1/models", "/v1/models/m", "/v1/responses/resp_1",
        "/v1/responses/resp_1/input_items?limit=3&order=asc", "/v1/files?limit=2&after=x", "/v2",
        "/v1/batches/batch_1", "/v1/brisk/requests", "/v2/models/m/config", "/v2/models/stats",
        "/openapi.json", "/version"]
ODD = [None, True, False, 0, -1, 1, 2**31, 2**63, -2**63, 2**64, 1e308, -1e308, 1e-320, 0.5, "", "a",
       " ", "\x00", "\ud800", "é\U0001f600", "a" * 5000, [], {}, [[]], [{}], {"": ""}, [None] * 40,
       {"a": {"b": {"c": []}}}, "null", "[", "{}", "../../etc/passwd", "%s%n", "required", "auto"]


class Built:
    """A request as bytes; `pieces` are sent one by one. `whole`: it is one that ends."""

    def __init__(self, pieces, whole):
        self.pieces, self.whole = pieces, whole


def places(value, path=()):
    """All places in a JSON value."""
    yield path
    for key, inner in (value.items() if isinstance(value, dict) else
                       enumerate(value) if isinstance(value, list) else ()):
        yield from places(inner, path + (key,))


def odd(rng):
    return copy.deepcopy(rng.choice(ODD))


def mutate_value(rng, body):
    body = copy.deepcopy(body)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        path = rng.choice(list(places(body)))
        if not path:
            if rng.random() < 0.1:
                body = odd(rng)
            elif isinstance(body, dict):
                body[rng.choice(["model", "n", "stream", "seed", "tools", "stop", "user", "x"])] = \
                    odd(rng)
            continue
        holder = body
        for key in path[:-1]:
            holder = holder[key]
        key = path[-1]
        what = rng.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1:
            holder[key] = [copy.deepcopy(holder[key]) for _ in range(rng.choice([2, 5, 300]))]
        elif what == 2:
            holder[key] = {"a": holder[key]}
        elif what == 3 and isinstance(holder[key], str):
            at = rng.randrange(len(holder[key]) + 1)
            holder[key] = holder[key][:at] + rng.choice(["\"", "\\", "{", "\n", "€", "\x7f"]) + \
                holder[key][at:]
        elif what == 4 and isinstance(holder[key], (int, float)):
            holder[key] = rng.choice([holder[key] * 1000, -holder[key], holder[key] + 0.5])
        else:
            holder[key] = odd(rng)
    return body


def mutate_bytes(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(5)
        if what == 0:
            del data[at:at + rng.choice([1, 2, 30])]
        elif what == 1:
            data[at:at] = rng.choice([b"\"", b"{", b"[" * 200, b",", b"\\u", b"\xff", b"\x00", b"1e999"])
        elif what == 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif what == 3:
            data[at:at] = data[max(0, at - 20):at]
        else:
            data[at:at] = rng.randbytes(rng.choice([1, 4, 50]))
    return bytes(data)


HEADERS = [b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
           b"Content-Length: 1, 2", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked",
           b"Transfer-Encoding: chunked, chunked", b"Expect: 100-continue", b"Expect: magic",
           b"Host: elsewhere", b"Host:", b"Connection: upgrade", b"Upgrade: h2c", b": empty",
           b"No colon", b"X: " + b"y" * 40000, b"Authorization: Bearer " + b"k" * 300,
           b"X-Request-Id: \xff\x01", b"Content-Type: text/html", b"Accept: */*;q=2",
           b"Origin: http://elsewhere", b"Content-Encoding: gzip", b"A b: c", b" folded", b"Range: x"]
LINES = [b"POST %s HTTP/1.0", b"POST %s HTTP/9.9", b"post %s HTTP/1.1", b"POST %s", b"POST\t%s\tHTTP/1.1",
         b"PUT %s HTTP/1.1", b"POST http://x%s HTTP/1.1", b"POST %s%%00 HTTP/1.1", b"POST %s/.. HTTP/1.1",
         b"POST %s?a=%%zz HTTP/1.1", b"OPTIONS * HTTP/1.1", b"HEAD %s HTTP/1.1", b"DELETE %s HTTP/1.1",
         b"\r\nPOST %s HTTP/1.1", b"CONNECT %s HTTP/1.1", b"\x16\x03\x01\x02\x00%s"]


def chunked(rng, body, broken):
    out = b""
    at = 0
    while at < len(body):
        size = rng.choice([1, 2, 7, 100, 4096])
        piece = body[at:at + size]
        out += b"%x%s\r\n" % (len(piece), rng.choice([b"", b"", b";a=b"])) + piece + b"\r\n"
        at += size
    out += b"0\r\n\r\n"
    if not broken:
        return out
    return rng.choice([mutate_bytes(rng, out), b"ffffffffffffffffff\r\n" + out, b"-1\r\n" + out,
                       out.replace(b"\r\n", b"\n"), out[:-2] + b"X: y\r\n\r\n", out[:-5],
                       b"5 \r\nabcde\r\n0\r\n\r\n", b"zz\r\n"])


def build(seed, number):
    rng = random.Random(f"{seed}-{number}")
    if rng.random() < 0.1:
        path = rng.choice(GETS).encode()
        if rng.random() < 0.6:
            path = mutate_bytes(rng, path).translate(None, b"\r\n ") or b"/"
        head = b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        more = rng.choice(HEADERS) + b"\r\n" if rng.random() < 0.4 else b""
        return Built([head + more + b"\r\n"], not more)
    path, body = rng.choice(SEEDS)
    kind = b"application/json"
    if body is None:
        data, kind = FORM, b"multipart/form-data; boundary=b"
    else:
        data = json.dumps(mutate_value(rng, body) if rng.random() < 0.7 else body).encode()
    if rng.random() < 0.3:
        data = mutate_bytes(rng, data)
    line = b"POST %s HTTP/1.1" % path.encode()
    whole = True
    headers = [b"Host: localhost", b"Connection: close", b"Content-Type: " + kind]
    if rng.random() < 0.3:
        broken = rng.random() < 0.5
        headers.append(b"Transfer-Encoding: chunked")
        data = chunked(rng, data, broken)
        whole = not broken
    else:
        headers.append(b"Content-Length: %d" % len(data))
    if rng.random() < 0.12:
        line = rng.choice(LINES).replace(b"%%", b"\0").replace(b"%s", path.encode()).replace(b"\0", b"%")
        whole = False
    if rng.random() < 0.12:
        headers.insert(rng.randrange(len(headers) + 1), rng.choice(HEADERS))
        whole = False
    message = b"\r\n".join([line, *headers]) + b"\r\n\r\n" + data
    if rng.random() < 0.05:
        message = message[:rng.randrange(len(message))]
        whole = False
    pieces = [message]
    if rng.random() < 0.15:
        cuts = sorted(rng.randrange(len(message) + 1) for _ in range(rng.choice([1, 3, 9])))
        pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)])]
    return Built(pieces, whole)


def exchange(server, built):
    """What came back, all of it."""
    with socket.create_connection((server.host, server.port)) as raw:
        raw.settimeout(SECONDS_MAX if built.whole else 0.3)
        try:
            for piece in built.pieces:
                raw.sendall(piece)
                if len(built.pieces) > 1:
                    time.sleep(0.001)
        except OSError:
            pass  # it was refused before it was all there
        answer = b""
        while True:
            try:
                more = raw.recv(65536)
            except TimeoutError:
                if built.whole:
                    return None
                break
            except OSError:
                break
            if not more:
                break
            answer += more
        return answer


def fault_of(server, built):
    answer = exchange(server, built)
    if answer is None:
        return f"no answer in {SECONDS_MAX} s"
    if not answer:
        return "a request that is one got no answer" if built.whole else None
    if not answer.startswith(b"HTTP/1.1 "):
        return f"answered {answer[:100]}"
    status = int(answer[9:12])
    if status == 100:
        return None
    if status not in FINE:
        return f"answered {answer[:600]}"
    if status >= 400 and built.whole and b"\r\n\r\n{" not in answer:
        return f"an error that is no JSON: {answer[:300]}"
    return None


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def settle(server):
    """Until nothing runs; what is held then: (descriptors, KV)."""
    for _ in range(300):
        metrics = server.ask("GET", "/metrics").body.decode()
        held = sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(
            ("brisk:num_requests_running{", "brisk:num_requests_waiting{", "brisk:kv_cache_usage_perc{")))
        if held == 0:
            return 0
        time.sleep(0.1)
    return held


def storm(server, options, numbers):
    faults, lock = [], threading.Lock()

    def send(number):
        if len(faults) > 5:
            return
        try:
            fault = fault_of(server, build(options.seed, number))
        except OSError as error:
            fault = f"{error}: is the server gone?"
        if fault:
            with lock:
                faults.append(f"--seed {options.seed} --only {number}: {fault}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, numbers))
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("brisk")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--sanitized", action="store_true")
    options = parser.parse_args()
    flags = ["--served-model-name", "m", "--kv-tokens", "4096", "--request-timeout", "60",
             "--connections-max", "64", "--sequences-max", "32"]
    started = time.monotonic()
    with Server(options.brisk, options.model, *flags) as server:
        if options.only is not None:
            built = build(options.seed, options.only)
            print(b"".join(built.pieces), "\n->", exchange(server, built))
            return 0
        half = options.requests // 2
        faults = storm(server, options, range(half))
        settle(server)
        early, open_early = resident(server.process.pid), descriptors(server.process.pid)
        faults += storm(server, options, range(half, options.requests))
        if held := settle(server):
            faults.append(f"{held} requests or blocks are held at the end")
        late, open_late = resident(server.process.pid), descriptors(server.process.pid)
        if not options.sanitized and late > early + RESIDENT_GROWTH_MAX:
            faults.append(f"resident memory grew from {early >> 20} to {late >> 20} MiB")
        if open_late > open_early + 2:
            faults.append(f"{open_late} descriptors are open, {open_early} were")
    print(f"{options.requests} requests of seed {options.seed} in {time.monotonic() - started:.0f} s: "
          f"resident {early >> 20} to {late >> 20} MiB, {open_late} descriptors")
    for line in server.log.splitlines():
        if "Sanitizer" in line or "threw" in line:
            faults.append(line)
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
