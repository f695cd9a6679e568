#!/usr/bin/env python3
"""What event streams cost that say nothing: chats that wait in the queue while others keep the engine
busy.

  idle_streams_test.py BRISK MODEL [COUNT]

COUNT (1000) streams must take less than 50 MB of resident memory for each 1000 of them, and end
when their clients do.
"""

import json
import resource
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from running_server import Server, eventually  # noqa: E402

BRISK, MODEL = sys.argv[1], sys.argv[2]
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
BYTES_EACH_MAX = 50_000
URGENT = 4  # clients that keep the engine busy


def resident(server):
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def waiting(server):
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines
               if line.startswith("brisk:num_requests_waiting{"))


def keep_busy(server, over):
    while not over.is_set():
        answer = server.complete(max_tokens=100, ignore_eos=True, priority=-1, n=64)
        assert answer.status == 200, answer.body


def open_stream(server):
    """A chat whose first event has come, and then nothing."""
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "stream": True,
                       "chat_template": "{{ messages[0].content }}"})
    raw = socket.create_connection((server.host, server.port))
    raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body.encode()))
    answer = b""
    while b"data: " not in answer:
        answer += raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return raw


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * COUNT + 1000), hard))
    with Server(BRISK, MODEL, "--sequences-max", "1", "--queue-max", str(2 * COUNT), "--kv-tokens",
                "2048", "--connections-max", str(2 * COUNT)) as server:
        over = threading.Event()
        busy = [threading.Thread(target=keep_busy, args=(server, over)) for _ in range(URGENT)]
        for thread in busy:
            thread.start()
        warm = [open_stream(server) for _ in range(10)]
        before = resident(server)
        streams = [open_stream(server) for _ in range(COUNT)]
        idle = waiting(server)
        each = (resident(server) - before) / COUNT
        for stream in streams + warm:
            stream.close()
        eventually(lambda: waiting(server) < 10)
        over.set()
        for thread in busy:
            thread.join()
    print(f"{COUNT} idle streams: {each / 1000:.1f} kB of resident memory each, {idle:.0f} waited")
    assert idle >= COUNT, "they were not idle"
    assert each < BYTES_EACH_MAX, f"more than {BYTES_EACH_MAX / 1000:g} kB each"


main()
