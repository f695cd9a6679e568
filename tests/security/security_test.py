#!/usr/bin/env python3
"""What docs/security.md promises, against a running `brisk serve`.

  security_test.py BRISK MODEL
"""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from running_server import Server, eventually  # noqa: E402

BRISK, MODEL = sys.argv[1:3]


def brisk(*arguments):
    return subprocess.run([BRISK, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          check=False)


class Directory(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.directory = Path(held.name)
        self.keys = self.directory / "keys.txt"

    def add_key(self, name, *limits):
        made = brisk("key", "add", self.keys, "--name", name, *limits)
        self.assertEqual(made.returncode, 0, made.stderr)
        return made.stdout.strip()

    def serve(self, *flags):
        return Server(BRISK, MODEL, *map(str, flags))


class KeyFileTest(Directory):
    def test_a_key_is_shown_once_and_kept_as_its_hash(self):
        secret = self.add_key("alice", "--weight", "3", "--requests-per-minute", "60")
        self.assertRegex(secret, r"^brisk-[0-9a-f]{64}$")
        self.assertNotIn(secret, self.keys.read_text())
        self.assertRegex(self.keys.read_text(), r"^sha256:[0-9a-f]{64} name=alice weight=3 ")
        self.assertEqual(self.keys.stat().st_mode & 0o077, 0, "others may not read it")
        self.assertNotEqual(secret, self.add_key("bob"))
        listed = brisk("key", "list", self.keys)
        self.assertIn("alice", listed.stdout)
        self.assertNotIn(secret, listed.stdout)
        self.assertNotIn(self.keys.read_text()[7:71], listed.stdout, "nor is the whole hash")

    def test_names_are_unique_and_plain(self):
        self.add_key("alice")
        for name in ("alice", "a b", "", "x" * 65, "a=b"):
            self.assertEqual(brisk("key", "add", self.keys, "--name", name).returncode, 1, name)
        self.assertEqual(len(self.keys.read_text().splitlines()), 1)

    def test_remove_and_hash_keep_the_other_lines(self):
        self.keys.write_text("# the team\nsk-plain 3 name=old\n")
        self.add_key("new")
        self.assertEqual(brisk("key", "hash", self.keys).returncode, 0)
        text = self.keys.read_text()
        self.assertNotIn("sk-plain", text)
        self.assertIn("name=old weight=3", text)
        self.assertEqual(brisk("key", "remove", self.keys, "new").returncode, 0)
        self.assertEqual(brisk("key", "remove", self.keys, "new").returncode, 1)
        self.assertIn("# the team", self.keys.read_text())
        with self.serve("--api-keys", self.keys) as server:
            self.assertEqual(server.ask("GET", "/v1/models", key="sk-plain").status, 200)

    def test_wrong_files_are_refused_without_quoting_them(self):
        for text in ("", "# nothing\n", "sk-secret x", "sk-secret 0", "sk-secret name=", "sha256:12",
                     "sk-secret name=a b=c", "sk-secret\nsk-secret\n", "sk-secret rpm=4", "sk-secret 1 2",
                     "sk-secret 3 weight=3"):
            self.keys.write_text(text)
            refused = brisk("serve", MODEL, "--port", "0", "--api-keys", self.keys)
            self.assertEqual(refused.returncode, 1, text)
            self.assertIn("keys.txt", refused.stderr)
            self.assertNotIn("sk-secret", refused.stderr)


class KeyUseTest(Directory):
    def test_only_keys_of_the_file_come_in(self):
        alice = self.add_key("alice")
        digest = self.keys.read_text().split()[0].removeprefix("sha256:")
        with self.serve("--api-keys", self.keys) as server:
            for wrong in ("", "x", alice[:-1], alice + "0", alice.upper(), digest,
                          "sha256:" + digest):
                self.assertEqual(server.complete(wrong).status, 401, wrong)
            self.assertEqual(server.complete(alice).status, 200)
            self.assertEqual(server.complete(headers={"x-api-key": alice}).status, 200)

    def test_requests_per_minute(self):
        alice, bob = self.add_key("alice", "--requests-per-minute", "3"), self.add_key("bob")
        with self.serve("--api-keys", self.keys) as server:
            for _ in range(3):
                self.assertEqual(server.complete(alice).status, 200)
            refused = server.complete(alice)
            self.assertEqual(refused.status, 429)
            self.assertEqual(refused.error["type"], "rate_limit_error")
            self.assertEqual(refused.error["code"], "rate_limit_exceeded")
            self.assertTrue(1 <= int(refused.headers["retry-after"]) <= 20)
            self.assertEqual(server.ask("GET", "/v1/models", key=alice).status, 200)
            self.assertEqual(server.complete(bob).status, 200)

    def test_tokens_per_minute(self):
        alice = self.add_key("alice", "--tokens-per-minute", "30")
        with self.serve("--api-keys", self.keys) as server:
            used = server.complete(alice, max_tokens=60, ignore_eos=True).json["usage"]
            self.assertGreater(used["total_tokens"], 60)
            refused = server.complete(alice)
            self.assertEqual((refused.status, refused.error["code"]), (429, "rate_limit_exceeded"))
            # What is above the limit is waited for too: two tokens a minute's second.
            wait = int(refused.headers["retry-after"])
            self.assertAlmostEqual(wait, (used["total_tokens"] - 30) * 2, delta=6)

    def test_requests_at_once(self):
        alice = self.add_key("alice", "--concurrent", "1")
        with self.serve("--api-keys", self.keys) as server:
            running = server.connect()
            body = json.dumps({"prompt": "The", "max_tokens": 200, "ignore_eos": True, "n": 8,
                               "stream": True})
            running.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {alice}"})
            stream = running.getresponse()
            stream.read(1)
            refused = server.complete(alice)
            self.assertEqual((refused.status, refused.error["code"]), (429, "rate_limit_exceeded"))
            running.sock.close()  # leaving gives the place back
            stream.close()
            eventually(lambda: server.complete(alice).status == 200)

    def test_a_total_lasts_beyond_restarts(self):
        alice = self.add_key("alice", "--tokens-total", "40")
        with self.serve("--api-keys", self.keys) as server:
            self.assertEqual(server.complete(alice, max_tokens=50, ignore_eos=True).status, 200)
            self.assertEqual(server.complete(alice).status, 429)
        with self.serve("--api-keys", self.keys) as server:
            refused = server.complete(alice)
            self.assertEqual((refused.status, refused.error["code"]), (429, "insufficient_quota"))
            self.assertEqual(refused.headers["x-should-retry"], "false")
            self.assertNotIn("retry-after", refused.headers)

    def test_sighup_reads_the_keys_again(self):
        alice = self.add_key("alice", "--requests-per-minute", "2")
        with self.serve("--api-keys", self.keys) as server:
            self.assertEqual(server.complete(alice).status, 200)
            bob = self.add_key("bob")
            self.assertEqual(server.complete(bob).status, 401)
            server.process.send_signal(1)
            eventually(lambda: server.complete(bob).status == 200)
            self.assertEqual(server.complete(alice).status, 200)
            self.assertEqual(server.complete(alice).status, 429, "what was used is not forgotten")
            brisk("key", "remove", self.keys, "alice")
            server.process.send_signal(1)
            eventually(lambda: server.complete(alice).status == 401)
            self.keys.write_text("broken 0\n")
            server.process.send_signal(1)
            eventually(lambda: "SIGHUP changes nothing" in server.log)
            self.assertEqual(server.complete(bob).status, 200)


class TlsTest(Directory):
    def certificate(self, name):
        paths = [self.directory / f"{name}.{kind}" for kind in ("crt", "key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                        "-subj", f"/CN={name}", "-out", paths[0], "-keyout", paths[1]],
                       check=True, capture_output=True)
        return paths

    def name_of(self, server):
        """The certificate that the server shows now."""
        context = ssl._create_unverified_context()
        with socket.create_connection((server.host, server.port)) as plain:
            with context.wrap_socket(plain) as secure:
                der = secure.getpeercert(binary_form=True)
        shown = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"], input=der,
                               capture_output=True, check=True)
        return shown.stdout.decode().split("=")[-1].strip()

    def test_answers_and_streams(self):
        certificate, key = self.certificate("one")
        with self.serve("--tls-cert", certificate, "--tls-key", key) as server:
            self.assertEqual(server.scheme, "https")
            self.assertEqual(server.complete().status, 200)
            streamed = server.complete(stream=True)
            self.assertIn(b"[DONE]", streamed.body)
            connection = server.connect()
            for _ in range(3):  # one connection, many requests
                connection.request("GET", "/v1/models")
                self.assertEqual(connection.getresponse().read()[:1], b"{")
            large = server.complete(prompt="a " * 20000, truncate_prompt_tokens=10)
            self.assertEqual(large.status, 200)
            refused = server.ask("POST", "/nothing", "x" * 300000)
            self.assertEqual(refused.status, 404, "the answer arrives although the body is not read")

    def test_a_client_that_leaves_cancels(self):
        certificate, key = self.certificate("one")
        with self.serve("--tls-cert", certificate, "--tls-key", key) as server:
            connection = server.connect()
            connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": "The", "max_tokens": 240, "ignore_eos": True, "n": 32, "stream": True}))
            stream = connection.getresponse()
            stream.read(1)
            connection.sock.close()
            stream.close()

            def cancelled():
                page = server.ask("GET", "/metrics").body.decode()
                return any(line.startswith("brisk:num_requests_running") and line.endswith(" 0")
                           for line in page.splitlines())
            eventually(cancelled)

    def test_old_versions_and_plain_text_are_refused(self):
        certificate, key = self.certificate("one")
        with self.serve("--tls-cert", certificate, "--tls-key", key) as server:
            for version, allowed in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                                     (ssl.TLSVersion.TLSv1_3, True)):
                context = ssl._create_unverified_context()
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = context.maximum_version = version
                try:
                    with socket.create_connection((server.host, server.port)) as plain:
                        with context.wrap_socket(plain) as secure:
                            self.assertEqual(secure.version()[:5], "TLSv1")
                    spoken = True
                except (ssl.SSLError, ConnectionError):
                    spoken = False
                self.assertEqual(spoken, allowed, version)
            plain = http.client.HTTPConnection(server.host, server.port, timeout=30)
            with self.assertRaises((http.client.HTTPException, ConnectionError)):
                plain.request("GET", "/health")
                plain.getresponse()
            self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_sighup_shows_the_new_certificate_and_keeps_the_old_when_it_is_broken(self):
        certificate, key = self.certificate("one")
        with self.serve("--tls-cert", certificate, "--tls-key", key) as server:
            self.assertEqual(self.name_of(server), "one")
            open_before = server.connect()
            open_before.request("GET", "/health")
            open_before.getresponse().read()
            for old, new in zip((certificate, key), self.certificate("two")):
                old.write_bytes(new.read_bytes())
            server.process.send_signal(1)
            eventually(lambda: self.name_of(server) == "two")
            open_before.request("GET", "/health")
            self.assertEqual(open_before.getresponse().status, 200)
            certificate.write_text("nonsense")
            server.process.send_signal(1)
            eventually(lambda: "SIGHUP changes nothing" in server.log)
            self.assertEqual(self.name_of(server), "two")

    def test_wrong_files_are_named(self):
        one, two = self.certificate("one"), self.certificate("two")
        for flags in (["--tls-cert", one[0]], ["--tls-cert", one[0], "--tls-key", two[1]],
                      ["--tls-cert", one[1], "--tls-key", one[1]],
                      ["--tls-cert", self.directory / "none", "--tls-key", one[1]]):
            refused = brisk("serve", MODEL, "--port", "0", *flags)
            self.assertEqual(refused.returncode, 1)
            self.assertRegex(refused.stderr, r"one\.|none|--tls")

    def test_a_client_that_is_slow_to_shake_hands_is_dropped(self):
        certificate, key = self.certificate("one")
        with self.serve("--tls-cert", certificate, "--tls-key", key) as server:
            slow = socket.create_connection((server.host, server.port), timeout=30)
            slow.send(b"\x16\x03\x01")
            self.assertEqual(slow.recv(100)[:1] in (b"", b"\x15"), True)


class OriginTest(Directory):
    ELSEWHERE = {"Origin": "https://elsewhere.example"}

    def test_pages_of_elsewhere_are_refused_by_default(self):
        with self.serve() as server:
            refused = server.complete(headers=self.ELSEWHERE)
            self.assertEqual(refused.status, 403)
            self.assertIn("--cors-origin", refused.error["message"])
            self.assertNotIn("access-control-allow-origin", refused.headers)
            preflight = server.ask("OPTIONS", "/v1/completions", headers={
                **self.ELSEWHERE, "Access-Control-Request-Method": "POST"})
            self.assertEqual(preflight.status, 403)
            own = {"Origin": f"http://{server.host}:{server.port}"}
            self.assertEqual(server.complete(headers=own).status, 200)
            self.assertEqual(server.complete(headers={"Origin": "null"}).status, 403)

    def test_an_allowed_origin_may_read_answers(self):
        with self.serve("--cors-origin", "https://elsewhere.example", "--api-key", "k") as server:
            preflight = server.ask("OPTIONS", "/v1/completions", headers={
                **self.ELSEWHERE, "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type"})
            self.assertEqual((preflight.status, preflight.body), (204, b""))
            self.assertEqual(preflight.headers["access-control-allow-origin"],
                             "https://elsewhere.example")
            self.assertEqual(preflight.headers["access-control-allow-headers"],
                             "authorization,content-type")
            for key, status in (("k", 200), ("wrong", 401)):
                answer = server.complete(key, headers=self.ELSEWHERE)
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.headers["access-control-allow-origin"],
                                 "https://elsewhere.example")
                self.assertEqual(answer.headers["vary"], "origin")
            other = server.complete("k", headers={"Origin": "https://third.example"})
            self.assertEqual(other.status, 403)
            self.assertEqual(server.complete("k").status, 200, "no browser, no origin")

    def test_names_that_point_here_are_refused_without_a_key(self):
        rebound = {"Host": "evil.example:80", "Origin": "http://evil.example:80"}
        with self.serve() as server:
            self.assertEqual(server.complete(headers=rebound).status, 403)
            for host in ("localhost", "127.0.0.1:1", "[::1]:8000", "a.localhost"):
                self.assertEqual(server.complete(headers={"Host": host}).status, 200, host)
        with self.serve("--api-key", "k") as server:
            self.assertEqual(server.complete("k", headers=rebound).status, 200)
        with self.serve("--allow-no-key") as server:
            self.assertEqual(server.complete(headers=rebound).status, 200)

    def test_wrong_origins_are_refused_at_the_start(self):
        for origin in ("elsewhere.example", "https://elsewhere.example/path", "https://", ""):
            self.assertEqual(brisk("serve", MODEL, "--port", "0", "--cors-origin", origin).returncode,
                             1, origin)


class LimitsTest(Directory):
    def test_every_limit_is_a_clear_refusal(self):
        deep = "[" * 100 + "]" * 100
        schema = {"type": "string", "description": "x" * 300000}
        cases = [
            ({"n": 129}, "n"), ({"n": 0}, "n"), ({"max_tokens": 10**7}, "max_tokens"),
            ({"max_tokens": -1}, "max_tokens"), ({"logprobs": 21}, "logprobs"),
            ({"prompt_logprobs": 21}, "prompt_logprobs"), ({"stop": ["x"] * 17}, "stop"),
            ({"stop": "x" * 1025}, "stop"), ({"stop": [""]}, "stop"),
            ({"bad_words": ["x"] * 257}, "bad_words"),
            ({"allowed_token_ids": list(range(4097))}, "allowed_token_ids"),
            ({"logit_bias": {str(i): 1 for i in range(5000)}}, "logit_bias"),
            ({"prompt": ["x"] * 257}, "prompt"), ({"prompt": ["x"] * 200, "n": 2}, "n"),
            ({"temperature": 1e9}, "temperature"), ({"unheard_of": 1}, "unheard_of"),
            ({"structured_outputs": {"json": schema}}, "structured_outputs"),
            ({"guided_regex": "a" * 20000}, "guided_regex"),
            ({"guided_choice": [str(i) for i in range(5000)]}, "guided_choice"),
            ({"guided_regex": "(a{1,1000}){1,1000}"}, "guided_regex"),
        ]
        with self.serve() as server:
            for fields, param in cases:
                answer = server.complete(**fields)
                self.assertEqual(answer.status, 400, param)
                self.assertTrue(str(answer.error["param"]).startswith(param), answer.error)
            answer = server.ask("POST", "/v1/chat/completions", {
                "messages": [{"role": "user", "content": "x"}], "logprobs": True,
                "top_logprobs": 21})
            self.assertEqual((answer.status, answer.error["param"]), (400, "top_logprobs"))
            answer = server.ask("POST", "/v1/completions", '{"prompt": %s}' % deep)
            self.assertEqual(answer.status, 400)
            self.assertIn("deep", answer.error["message"])
            answer = server.ask("POST", "/v1/completions", '{"prompt":"a","prompt":"b"}')
            self.assertEqual(answer.status, 400)
            answer = server.ask("GET", "/health", headers={"X": "x" * 40000})
            self.assertEqual(answer.status, 431)
            self.assertEqual(server.complete().status, 200)

    def test_bodies_are_refused_by_their_length_before_they_come(self):
        with self.serve("--body-max", "10KiB") as server:
            plain = socket.create_connection((server.host, server.port), timeout=30)
            plain.send(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                       b"Expect: 100-continue\r\nContent-Length: 10241\r\n\r\n")
            self.assertIn(b" 413 ", plain.recv(100))
            self.assertEqual(server.complete(prompt="x" * 20000).status, 413)

    def test_a_request_has_its_time(self):
        with self.serve("--request-timeout", "0.5") as server:
            long = {"max_tokens": 240, "ignore_eos": True, "n": 100, "best_of": 100}
            begin = time.monotonic()
            answer = server.complete(**long)
            self.assertEqual(answer.status, 504)
            self.assertEqual((answer.error["type"], answer.error["code"]),
                             ("timeout_error", "timeout"))
            self.assertLess(time.monotonic() - begin, 30)
            del long["best_of"]
            streamed = server.complete(stream=True, **long)
            self.assertEqual(streamed.status, 200)
            last = streamed.body.decode().rstrip().split("\n\n")[-1]
            self.assertEqual(json.loads(last.removeprefix("data: "))["error"]["code"], "timeout")
            chat = {"messages": [{"role": "user", "content": "Tell me a story."}], "stream": True}
            streamed = server.ask("POST", "/v1/chat/completions", json.dumps(chat | long | {"max_tokens": 200}))
            self.assertEqual(streamed.status, 200)
            last = streamed.body.decode().rstrip().split("\n\n")[-1]
            self.assertEqual(json.loads(last.removeprefix("data: "))["error"]["code"], "timeout")
            self.assertEqual(server.complete().status, 200)


class SecretsTest(Directory):
    def test_nothing_secret_is_logged(self):
        alice = self.add_key("alice")
        with self.serve("--api-keys", self.keys, "--lora-dir", self.directory) as server:
            pass
        command = [BRISK, "--log-level", "debug", "serve", MODEL, "--port", "0", "--threads", "1",
                   "--api-keys", str(self.keys)]
        with Server(BRISK, MODEL, command=command) as server:
            prompt = "a-very-private-prompt"
            answer = server.complete(alice, prompt=prompt)
            self.assertEqual(answer.status, 200)
            server.complete("brisk-wrong-key-value", prompt=prompt)
            server.complete(alice, prompt=prompt, n=0)
            server.ask("GET", "/v1/models?api_key=query-secret", key=alice)
            server.ask("POST", "/v1/completions", "{" + prompt, key=alice)
        text = answer.json["choices"][0]["text"].strip()
        for secret in (alice, "brisk-wrong-key-value", prompt, "query-secret"):
            self.assertNotIn(secret, server.log)
        if len(text) > 8:
            self.assertNotIn(text, server.log)
        self.assertIn("/v1/completions", server.log, "the log is not just empty")

    def test_no_path_of_a_client_reaches_the_file_system(self):
        secret = self.directory / "secret.txt"
        secret.write_text("top secret")
        inside = self.directory / "adapters"
        inside.mkdir()
        with self.serve("--lora-dir", inside) as server:
            paths = ["../secret.txt", str(secret), "x/../../secret.txt", "/etc/passwd", "a\0b"]
            for path in paths:
                answer = server.ask("POST", "/v1/load_lora_adapter",
                                    {"lora_name": "x", "lora_path": path})
                self.assertEqual(answer.status, 403, path)
            for target in ("/../secret.txt", "/%2e%2e/%2e%2e/etc/passwd", f"/{secret}",
                           "/v1/models/../../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e%2fetc/passwd"):
                answer = server.ask("GET", target)
                self.assertIn(answer.status, (400, 404), target)
                self.assertNotIn(b"root:", answer.body)
                self.assertNotIn(b"top secret", answer.body)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
