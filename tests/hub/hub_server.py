"""A hub as far as brisk asks one, which can drop connections, lie and redirect."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(contents):
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


class Hub(ThreadingHTTPServer):
    """One repository under the names of `repos` (None: under all), and how it misbehaves."""

    daemon_threads = True

    def __init__(self, files, repos=("org/tiny",)):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files  # path -> bytes
        self.repos = repos
        self.seen = []  # (path, headers)
        self.drop_after = None  # bytes of a file's answer, then the connection ends
        self.ranges = True
        self.wrong_range = False
        self.hash_lie = self.length_lie = False
        self.redirect_to = None  # another hub
        self.token = None
        self.extra_siblings = []
        self.commit = COMMIT
        self.fail_with = []  # statuses of the next answers for files
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """Clients that leave in the middle are what the tests are about."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def listing(self):
        siblings = list(self.extra_siblings)
        for path, contents in self.files.items():
            entry = {"rfilename": path, "size": len(contents), "blobId": git_sha1(contents)}
            if path.endswith((".gguf", ".safetensors")):
                sha256 = hashlib.sha256(contents).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(contents) - self.length_lie}
                if self.hash_lie:
                    entry["lfs"]["sha256"] = "0" * 64
            siblings.append(entry)
        return {"sha": self.commit, "siblings": siblings}

    def fetched(self):
        return [path for path, _ in self.seen if "/resolve/" in path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        hub = self.server
        hub.seen.append((self.path, dict(self.headers)))
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.answer(401, b"{}")
        repo = re.match(r"(?:/api/models)?/([^/]+/[^/]+)/(?:revision|resolve)/", self.path)
        if repo and hub.repos is not None and repo[1] not in hub.repos:
            return self.answer(404, b"Repository not found")
        if self.path.startswith("/api/models/"):
            return self.answer(200, json.dumps(hub.listing()).encode())
        match = re.fullmatch(r"/(?:[^/]+/[^/]+/resolve/[0-9a-f]{40}|cdn)/(.*)", self.path)
        if not match or match[1] not in hub.files:
            return self.answer(404, b"Entry not found")
        if hub.fail_with:
            return self.answer(hub.fail_with.pop(0), b"")
        if hub.redirect_to:
            target = f"{hub.redirect_to.url}/cdn/{match[1]}"
            return self.answer(302, b"Found. " * 9, [("Location", target)])
        self.send_file(hub.files[match[1]])

    def send_file(self, contents):
        hub = self.server
        first, status, headers = 0, 200, []
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and hub.ranges:
            first = int(asked[1]) - hub.wrong_range
            if first >= len(contents):
                return self.answer(416, b"")
            status = 206
            headers = [("Content-Range", f"bytes {first}-{len(contents) - 1}/{len(contents)}")]
        rest = contents[first:]
        if hub.drop_after is None or hub.drop_after >= len(rest):
            return self.answer(status, rest, headers)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: hub.drop_after])
        self.wfile.flush()
        self.close_connection = True
