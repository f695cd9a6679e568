#!/usr/bin/env python3
"""A server under clients of every kind: polite ones, whose answers must be right to the character, and
among them those that stall, vanish, send garbage or ask for far too much.

  soak_test.py BRISK MODEL [SECONDS]

At the end resident memory must be flat, no block may be held, and the server must end cleanly.
"""

import http.client
import json
import random
import re
import socket
import subprocess
import sys
import threading
import time

BRISK, MODEL = sys.argv[1], sys.argv[2]
SECONDS = float(sys.argv[3]) if len(sys.argv) > 3 else 20
CLIENTS = 16
RESIDENT_GROWTH_MAX = 16 << 20  # bytes, from a quarter of the time on

PROMPTS = ["Once upon a time", "The dog", "Tom and Lily went", "One day, a little girl", "x" * 60,
           "Once upon a time there was a boy who had a big red ball and"]


class Wrong(Exception):
    pass


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [BRISK, "serve", MODEL, "--port", "0", "--threads", "2", "--kv-tokens", "2048",
             "--sequences-max", "24", "--queue-max", "64", "--ttft-max", "30"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)$", self.process.stdout.readline().strip()).group(1))
        self.log = []
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_log(self):
        self.log.extend(self.process.stderr)

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def post(self, body):
        connection = self.connect()
        connection.request("POST", "/v1/completions", json.dumps(body),
                           {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    def metric(self, name):
        connection = self.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith(name + "{"))


def polite_request(rng):
    """A request whose answer does not depend on who else is there."""
    return {"prompt": rng.choice(PROMPTS), "max_tokens": rng.choice([1, 8, 40]),
            "temperature": rng.choice([0, 0.8]), "seed": rng.randrange(4),
            "n": rng.choice([1, 1, 2]), "user": rng.choice(["ann", "bob"]),
            "priority": rng.choice([0, 0, 1])}


def texts(answer):
    return [choice["text"] for choice in answer["choices"]]


class Client(threading.Thread):
    def __init__(self, server, number, known, end):
        super().__init__(daemon=True)
        self.server, self.known, self.end = server, known, end
        self.rng = random.Random(number)
        self.done = {}
        self.fault = None

    def run(self):
        kinds = [self.polite] * 6 + [self.streams] * 4 + [self.stalls, self.vanishes, self.garbage,
                                                          self.asks_too_much, self.leaves_early]
        try:
            while time.time() < self.end:
                kind = self.rng.choice(kinds)
                kind()
                self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1
        except Exception as fault:  # whatever it is, the test has failed
            self.fault = f"{kind.__name__}: {type(fault).__name__}: {fault}"

    def expect(self, body, answer):
        key = json.dumps({k: body[k] for k in ("prompt", "max_tokens", "temperature", "seed", "n")})
        if self.known.setdefault(key, answer) != answer:
            raise Wrong(f"{key}: {answer} and {self.known[key]}")

    def polite(self):
        body = polite_request(self.rng)
        status, answer = self.server.post(body)
        if status == 429:
            return time.sleep(0.05)
        if status != 200:
            raise Wrong(f"{status} {answer}")
        self.expect(body, texts(json.loads(answer)))

    def open_stream(self, body):
        connection = self.server.connect()
        connection.request("POST", "/v1/completions", json.dumps(dict(body, stream=True)))
        return connection, connection.getresponse()

    def read_stream(self, body, pause):
        connection, response = self.open_stream(body)
        if response.status == 429:
            return response.read()
        pieces = [""] * body["n"]
        for line in response:
            time.sleep(pause)
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            for choice in json.loads(line[6:]).get("choices", []):
                pieces[choice["index"]] += choice["text"]
        connection.close()
        self.expect(body, pieces)

    def streams(self):
        self.read_stream(polite_request(self.rng), 0)

    def stalls(self):
        self.read_stream(polite_request(self.rng), self.rng.choice([0.005, 0.05]))

    def vanishes(self):
        connection, response = self.open_stream(dict(polite_request(self.rng), max_tokens=60))
        response.read(self.rng.randrange(200))
        if self.rng.random() < 0.5:  # a reset instead of a goodbye
            connection.sock and connection.sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()

    def leaves_early(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as raw:
            body = json.dumps(polite_request(self.rng)).encode()
            raw.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                        % len(body) + body[:self.rng.randrange(len(body) + 1)])

    def garbage(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as raw:
            raw.settimeout(120)
            raw.sendall(self.rng.choice([
                self.rng.randbytes(self.rng.randrange(1, 3000)),
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{\"prompt\"",
                b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            ]))
            raw.shutdown(socket.SHUT_WR)
            answer = raw.recv(4096)
            if answer and b" 400 " not in answer[:20] and b" 4" not in answer[:12]:
                raise Wrong(f"garbage was answered {answer[:80]}")

    def asks_too_much(self):
        status, answer = self.server.post(self.rng.choice([
            {"prompt": "a", "n": 10**6}, {"prompt": "a", "max_tokens": 10**9},
            {"prompt": "a " * 5000}, {"prompt": ["a"] * 1000}, {"prompt": "a", "n": 128, "best_of": 4},
            {"prompt": "a", "logit_bias": {str(i): 1 for i in range(5000)}}, {"prompt": "a", "stop": ["b" * 9999]},
        ]))
        if status != 400:
            raise Wrong(f"{status} {answer[:200]}")


def main():
    server = Server()
    known = {}
    end = time.time() + SECONDS
    clients = [Client(server, number, known, end) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(SECONDS / 4)
    early = server.resident()
    for client in clients:
        client.join(SECONDS + 300)
    faults = [client.fault for client in clients if client.fault]
    faults += ["a client never came back" for client in clients if client.is_alive()]

    deadline = time.time() + 30
    names = ["brisk:num_requests_running", "brisk:num_requests_waiting",
             "brisk:num_requests_paused", "brisk:kv_cache_usage_perc"]
    while time.time() < deadline and any(server.metric(name) for name in names):
        time.sleep(0.1)
    faults += [f"{name} is {server.metric(name)} at the end" for name in names if server.metric(name)]
    late = server.resident()
    if late > early + RESIDENT_GROWTH_MAX:
        faults.append(f"resident memory grew from {early >> 20} to {late >> 20} MiB")
    # What everybody got must be what one gets alone, now that nobody else is there.
    for key, answer in list(known.items()):
        alone = texts(json.loads(server.post(json.loads(key))[1]))
        if alone != answer:
            faults.append(f"{key}: alone {alone}, in company {answer}")
    server.process.terminate()
    if server.process.wait(60) != 0:
        faults.append(f"the server ended with {server.process.returncode}: {server.log[-5:]}")
    done = {}
    for client in clients:
        for kind, count in client.done.items():
            done[kind] = done.get(kind, 0) + count
    print(f"{SECONDS:g} s, {CLIENTS} clients: {dict(sorted(done.items()))}, resident "
          f"{early >> 20} to {late >> 20} MiB, {len(known)} different answers checked")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main()
