"""A `brisk serve` process for tests: started, asked, and ended cleanly."""

import http.client
import json
import re
import signal
import ssl
import subprocess
import threading
import time


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Server:
    """Use as a context: with Server(brisk, model, "--api-key", "k") as server: ..."""

    def __init__(self, brisk, model, *flags, command=None, env=None):
        arguments = command or [brisk, "serve", model, "--port", "0", "--threads", "1", *flags]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=env)
        self.log = ""
        line = self.process.stdout.readline()
        found = re.search(r"(https?)://(\[[^]]*\]|[^:/]+):(\d+)", line)
        if not found:
            self.process.wait(timeout=30)
            raise RuntimeError(f"brisk serve ended: {line}{self.process.stderr.read()}")
        self.scheme, self.host, self.port = found[1], found[2], int(found[3])
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        for line in self.process.stderr:
            self.log += line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                code = self.process.wait(timeout=60)
                assert code == 0, f"ended with {code}: {self.log}"
        finally:
            self.process.kill()
            self.process.wait()

    def connect(self, timeout=60):
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def ask(self, method, path, body=None, headers=None, key=None):
        connection = self.connect()
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = Answer(response.status, dict((k.lower(), v) for k, v in response.getheaders()),
                        response.read())
        connection.close()
        return answer

    def complete(self, key=None, headers=None, **fields):
        body = {"prompt": "Once upon a time", "max_tokens": 4, "temperature": 0, **fields}
        return self.ask("POST", "/v1/completions", body, headers, key)


def eventually(what, seconds=30):
    """Waits until `what()` holds; returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)
