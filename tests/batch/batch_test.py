#!/usr/bin/env python3
"""`brisk batch`, /v1/files and /v1/batches, killed at random moments and compared with a run that
was not.

  batch_test.py BRISK MODEL LONG_MODEL

MODEL is tiny, so that many lines are answered between two kills; LONG_MODEL has a context of 256 tokens
or more.
"""

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from running_server import Server, eventually  # noqa: E402

BRISK, MODEL, LONG_MODEL = sys.argv[1:4]
KILLS = int(sys.argv[4]) if len(sys.argv) > 4 else 12
FINAL = ("completed", "failed", "expired", "cancelled")


def requests(count, max_tokens=40):
    """Some of them wrong: a refusal is a result too."""
    for i in range(count):
        body = {"prompt": f"Once upon a time {i}", "max_tokens": max_tokens, "seed": i,
                "temperature": 1, "ignore_eos": True, "model": "whatever"}
        if i % 10 == 7:
            body["n"] = 0
        yield {"custom_id": f"täsk {i}", "method": "POST", "url": "/v1/completions", "body": body}


def jsonl(items):
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in items)


def essence(text):
    """What does not depend on when a line was answered."""
    lines = []
    for line in text.splitlines():
        result = json.loads(line)
        response = result["response"] or {}
        body = response.get("body", {})
        lines.append((result["id"], result["custom_id"], response.get("status_code"),
                      [choice["text"] for choice in body.get("choices", [])],
                      body.get("usage", {}).get("completion_tokens"), body.get("error"),
                      result["error"]))
    return lines


class OfflineTest(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.directory = Path(held.name)
        self.input = self.directory / "in.jsonl"

    def command(self, output):
        return [BRISK, "batch", self.input, "-o", self.directory / output, MODEL, "--threads", "1",
                "--sequences-max", "4"]

    def run_whole(self, output):
        done = subprocess.run(self.command(output), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def texts(self, output):
        path = self.directory / output
        return essence(path.read_text()), essence(path.with_suffix(".errors.jsonl").read_text())

    def journal(self, output):
        """The results that are recorded by now."""
        path = self.directory / f"{output}.journal"
        if not path.exists():
            return {}
        database = sqlite3.connect(f"file:{path}?mode=rw", uri=True)
        try:
            return dict(database.execute("SELECT line, text FROM results"))
        except sqlite3.OperationalError:
            return {}  # not even its tables are there
        finally:
            database.close()

    def test_answers_in_order_and_refusals_apart(self):
        self.input.write_text(jsonl(requests(30)))
        done = self.run_whole("out.jsonl")
        self.assertRegex(done.stderr, r"30 requests in .* tokens/s")
        answers, refusals = self.texts("out.jsonl")
        self.assertEqual([each[1] for each in answers],
                         [f"täsk {i}" for i in range(30) if i % 10 != 7])
        self.assertEqual([each[1] for each in refusals], ["täsk 7", "täsk 17", "täsk 27"])
        self.assertEqual({each[2] for each in refusals}, {400})
        self.assertEqual(refusals[0][5]["param"], "n")
        self.assertFalse(list(self.directory.glob("*.journal*")), "nothing is left behind")

    def kill_again_and_again(self, rng, whole_seconds):
        """Until it comes to its end between two kills; how many there were, and what was recorded
        before the last of them."""
        recorded = {}
        kills = 0
        while kills < KILLS:
            process = subprocess.Popen(self.command("out.jsonl"), stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=rng.uniform(0, whole_seconds * (0.15 + kills * 0.08)))
                break  # it came to its end
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            if (self.directory / "out.jsonl").exists():
                continue
            now = self.journal("out.jsonl")
            for line, text in recorded.items():
                self.assertEqual(now.get(line), text, "what was done is kept as it was")
            recorded = now
        return kills, recorded

    def test_killed_again_and_again_it_gives_what_one_run_gives(self):
        self.input.write_text(jsonl(requests(60)))
        begin = time.monotonic()
        self.run_whole("whole.jsonl")
        whole_seconds = time.monotonic() - begin
        rng = random.Random(4)
        for _ in range(6):
            kills, recorded = self.kill_again_and_again(rng, whole_seconds)
            if (self.directory / "out.jsonl.journal").exists():
                self.run_whole("out.jsonl")
            if kills > 2 and recorded:
                break
            # The whole run was timed while the machine was slower than now.
            whole_seconds /= 2
            for path in self.directory.glob("out.*"):
                path.unlink()
        self.assertGreater(kills, 2)
        self.assertTrue(recorded, "kills came while there was something to lose")
        self.assertEqual(self.texts("out.jsonl"), self.texts("whole.jsonl"))
        lines = (self.directory / "out.jsonl").read_text().splitlines()
        lines += (self.directory / "out.errors.jsonl").read_text().splitlines()
        for text in recorded.values():
            self.assertIn(text, lines, "nothing was done a second time")

    def test_refuses_what_it_cannot_mean(self):
        first = jsonl(requests(3))
        for text, why in (("", "empty"), ("\n \n", "no requests"), ("{}\n", "custom_id"), ("[1]\n", "object"),
                          (first + first, "custom_id"), (first.replace("POST", "GET"), "POST"),
                          (first.replace("/v1/completions", "/v1/models"), "url"),
                          (first + "{\n", ":4:"), (first.replace('"body"', '"bodies"'), "bodies"),
                          ('{"custom_id":"a","custom_id":"b"}', ":1:"), ("[" * 1000, ":1:")):
            self.input.write_text(text)
            refused = subprocess.run(self.command("out.jsonl"), capture_output=True, text=True)
            self.assertEqual(refused.returncode, 1, text[:50])
            self.assertIn(why, refused.stderr)
            self.assertFalse((self.directory / "out.jsonl").exists())

    def test_never_writes_over_answers_or_goes_on_with_another_input(self):
        self.input.write_text(jsonl(requests(2)))
        self.run_whole("out.jsonl")
        again = subprocess.run(self.command("out.jsonl"), capture_output=True, text=True)
        self.assertEqual(again.returncode, 1)
        self.assertIn("is there already", again.stderr)
        self.input.write_text(jsonl(requests(200)))
        process = subprocess.Popen(self.command("other.jsonl"), stderr=subprocess.DEVNULL)
        log = self.directory / "other.jsonl.journal-wal"
        eventually(lambda: log.exists() and log.stat().st_size > 100_000)
        process.kill()
        process.wait()
        self.input.write_text(jsonl(requests(201)))
        other = subprocess.run(self.command("other.jsonl"), capture_output=True, text=True)
        self.assertEqual(other.returncode, 1)
        self.assertIn("another input", other.stderr)


class OverHttpTest(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.directory = Path(held.name)

    def serve(self, *flags, model=MODEL):
        return Server(BRISK, model, "--batch-dir", str(self.directory / "batches"), "--batch-width",
                      "4", "--served-model-name", "whatever", *flags)

    def upload(self, server, text, purpose="batch", key=None, name="in.jsonl"):
        body = (f'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
                f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                f'Content-Type: application/jsonl\r\n\r\n{text}\r\n--xyz--\r\n').encode()
        return server.ask("POST", "/v1/files", body,
                          {"Content-Type": "multipart/form-data; boundary=xyz"}, key)

    def create(self, server, text, key=None, **fields):
        file = self.upload(server, text, key=key)
        self.assertEqual(file.status, 200, file.body)
        return server.ask("POST", "/v1/batches", {
            "input_file_id": file.json["id"], "endpoint": "/v1/completions",
            "completion_window": "24h", **fields}, key=key)

    def ended(self, server, batch_id, key=None):
        def look():
            batch = server.ask("GET", f"/v1/batches/{batch_id}", key=key).json
            return batch if batch["status"] in FINAL else None
        return eventually(look, 240)

    def content(self, server, file_id, key=None):
        if file_id is None:
            return ""
        answer = server.ask("GET", f"/v1/files/{file_id}/content", key=key)
        self.assertEqual(answer.status, 200)
        return answer.body.decode()

    def results(self, server, batch):
        return tuple([each[1:] for each in essence(self.content(server, batch[kind]))]
                     for kind in ("output_file_id", "error_file_id"))

    def test_a_batch_from_upload_to_answers(self):
        with self.serve() as server:
            created = self.create(server, jsonl(requests(20)), metadata={"job": "nightly"})
            self.assertEqual((created.status, created.json["status"]), (200, "validating"))
            batch = self.ended(server, created.json["id"])
            self.assertEqual(batch["status"], "completed")
            self.assertEqual(batch["request_counts"], {"total": 20, "completed": 18, "failed": 2})
            self.assertEqual(batch["metadata"], {"job": "nightly"})
            answers, refusals = self.results(server, batch)
            self.assertEqual([each[0] for each in answers],
                             [f"täsk {i}" for i in range(20) if i % 10 != 7])
            self.assertEqual([each[0] for each in refusals], ["täsk 7", "täsk 17"])
            output = server.ask("GET", f"/v1/files/{batch['output_file_id']}").json
            self.assertEqual(output["purpose"], "batch_output")
            self.assertEqual(output["bytes"],
                             len(self.content(server, output["id"]).encode()))
            listed = server.ask("GET", "/v1/batches").json
            self.assertEqual([each["id"] for each in listed["data"]], [batch["id"]])

    def test_killed_again_and_again_it_gives_what_one_run_gives(self):
        text = jsonl(requests(60))
        with self.serve() as server:
            begin = time.monotonic()
            whole = self.ended(server, self.create(server, text).json["id"])
            expected = self.results(server, whole)
            whole_seconds = time.monotonic() - begin
            batch_id = self.create(server, text).json["id"]
            server.process.kill()  # the answer was given: it is in the journal
            server.process.wait()
        rng = random.Random(5)
        for kill in range(KILLS):
            with self.serve() as server:
                time.sleep(rng.uniform(0, whole_seconds * (0.1 + 0.05 * kill)))
                server.process.kill()
                server.process.wait()
        with self.serve() as server:
            batch = self.ended(server, batch_id)
            self.assertEqual(batch["status"], "completed")
            self.assertEqual(batch["request_counts"], {"total": 60, "completed": 54, "failed": 6})
            self.assertEqual(self.results(server, batch), expected)
            files = server.ask("GET", "/v1/files?limit=100").json["data"]
            self.assertEqual(len(files), 6, "two inputs, two outputs, two of errors")
        stored = list((self.directory / "batches/files").iterdir())
        self.assertEqual(len(stored), 6, "no file is left of interrupted work")

    def test_cancel_keeps_what_is_done(self):
        with self.serve(model=LONG_MODEL) as server:
            batch = self.create(server, jsonl(requests(500, max_tokens=200))).json
            eventually(lambda: server.ask("GET", f"/v1/batches/{batch['id']}")
                       .json["request_counts"]["completed"] > 0)
            cancelled = server.ask("POST", f"/v1/batches/{batch['id']}/cancel")
            self.assertEqual((cancelled.status, cancelled.json["status"]), (200, "cancelling"))
            batch = self.ended(server, batch["id"])
            self.assertEqual(batch["status"], "cancelled")
            answers, _ = self.results(server, batch)
            self.assertEqual(len(answers), batch["request_counts"]["completed"])
            self.assertTrue(0 < len(answers) < 450)
            again = server.ask("POST", f"/v1/batches/{batch['id']}/cancel")
            self.assertEqual(again.status, 400)

    def test_an_expired_batch_says_so_of_each_line(self):
        with self.serve(model=LONG_MODEL) as server:
            created = self.create(server, jsonl(requests(500, max_tokens=200)),
                                  completion_window="2s")
            batch = self.ended(server, created.json["id"])
            self.assertEqual(batch["status"], "expired")
            answers, refusals = self.results(server, batch)
            self.assertEqual(len(answers) + len(refusals), 500)
            self.assertEqual(refusals[-1][5]["code"], "batch_expired")

    def test_interactive_requests_go_first(self):
        with self.serve("--sequences-max", "4", model=LONG_MODEL) as server:
            batch = self.create(server, jsonl(requests(2000, max_tokens=200))).json
            eventually(lambda: server.ask("GET", f"/v1/batches/{batch['id']}")
                       .json["request_counts"]["completed"] > 0)
            for _ in range(5):
                self.assertEqual(server.complete().status, 200)
            counts = server.ask("GET", f"/v1/batches/{batch['id']}").json["request_counts"]
            self.assertLess(counts["completed"] + counts["failed"], 2000)
            server.ask("POST", f"/v1/batches/{batch['id']}/cancel")

    def test_invalid_inputs_fail_with_their_lines(self):
        good = list(requests(3))
        wrong_url = dict(good[1], url="/v1/chat/completions")
        for lines, line, param in (([good[0], good[0]], 2, "custom_id"),
                                   ([good[0], wrong_url], 2, "url"), ([{}], 1, "custom_id")):
            with self.serve() as server:
                batch = self.ended(server, self.create(server, jsonl(lines)).json["id"])
                self.assertEqual(batch["status"], "failed")
                fault = batch["errors"]["data"][0]
                self.assertEqual((fault["line"], fault["param"]), (line, param))
                self.assertIsNone(batch["output_file_id"])
        with self.serve() as server:
            batch = self.ended(server, self.create(server, "").json["id"])
            self.assertEqual(batch["status"], "failed")
            self.assertNotIn("/", batch["errors"]["data"][0]["message"], "no path of the server")

    def test_files_are_listed_shown_and_deleted(self):
        with self.serve("--upload-max", "100KiB") as server:
            ids = [self.upload(server, f"{{}}{i}").json["id"] for i in range(5)]
            page = server.ask("GET", "/v1/files?limit=2").json
            self.assertEqual([each["id"] for each in page["data"]], ids[:2:-1])
            self.assertTrue(page["has_more"])
            page = server.ask("GET", f"/v1/files?limit=9&after={page['last_id']}").json
            self.assertEqual([each["id"] for each in page["data"]], ids[2::-1])
            self.assertFalse(page["has_more"])
            ascending = server.ask("GET", "/v1/files?order=asc").json
            self.assertEqual([each["id"] for each in ascending["data"]], ids)
            self.assertEqual(self.content(server, ids[3]), "{}3")
            self.assertTrue(server.ask("DELETE", f"/v1/files/{ids[3]}").json["deleted"])
            for method, path in (("GET", f"/v1/files/{ids[3]}"), ("DELETE", f"/v1/files/{ids[3]}"),
                                 ("GET", f"/v1/files/{ids[3]}/content"),
                                 ("GET", "/v1/files/..%2fjournal.sqlite/content"),
                                 ("GET", "/v1/files/../journal.sqlite"),
                                 ("DELETE", "/v1/files/..%2f..%2fbatches"),
                                 ("GET", "/v1/batches/batch_0")):
                self.assertEqual(server.ask(method, path).status, 404, path)
            self.assertEqual(self.upload(server, "x", name="../../evil").json["filename"],
                             "../../evil")
            self.assertFalse((self.directory / "evil").exists())
            self.assertEqual(self.upload(server, "x" * 200_000).status, 413)
            self.assertEqual(self.upload(server, "x", purpose="assistants").json["error"]["param"],
                             "purpose")
            for body, kind in ((b"", "multipart/form-data; boundary=xyz"), (b"x", "text/plain"),
                               (b"--xyz\r\n\r\n", "multipart/form-data; boundary=xyz"),
                               (b"--xyz--\r\n", "multipart/form-data; boundary=xyz")):
                self.assertEqual(server.ask("POST", "/v1/files", body,
                                            {"Content-Type": kind}).status, 400)

    def test_each_key_sees_its_own(self):
        keys = self.directory / "keys.txt"
        keys.write_text("ann\nbob\n")
        with self.serve("--api-keys", str(keys)) as server:
            batch = self.create(server, jsonl(requests(2)), key="ann").json
            self.assertEqual(self.ended(server, batch["id"], "ann")["status"], "completed")
            for path in (f"/v1/batches/{batch['id']}", f"/v1/files/{batch['input_file_id']}",
                         f"/v1/files/{batch['input_file_id']}/content"):
                self.assertEqual(server.ask("GET", path, key="ann").status, 200)
                self.assertEqual(server.ask("GET", path, key="bob").status, 404)
            self.assertEqual(server.ask("GET", "/v1/files", key="bob").json["data"], [])
            self.assertEqual(server.ask("POST", f"/v1/batches/{batch['id']}/cancel",
                                        key="bob").status, 404)
            taken = server.ask("POST", "/v1/batches", {
                "input_file_id": batch["input_file_id"], "endpoint": "/v1/completions"}, key="bob")
            self.assertEqual(taken.status, 404)

    def test_requests_that_mean_nothing_are_refused(self):
        with self.serve() as server:
            file = self.upload(server, jsonl(requests(1))).json["id"]
            for fields, param in (({"endpoint": "/v1/models"}, "endpoint"),
                                  ({"completion_window": "never"}, "completion_window"),
                                  ({"completion_window": "999d"}, "completion_window"),
                                  ({"metadata": {"a": 1}}, "metadata"), ({"other": 1}, "other")):
                answer = server.ask("POST", "/v1/batches", {
                    "input_file_id": file, "endpoint": "/v1/completions", **fields})
                self.assertEqual((answer.status, answer.error["param"]), (400, param))

    def test_one_server_has_a_directory(self):
        with self.serve():
            second = subprocess.run([BRISK, "serve", MODEL, "--port", "0", "--batch-dir",
                                     self.directory / "batches"], capture_output=True, text=True)
            self.assertEqual(second.returncode, 1)
            self.assertIn("another brisk", second.stderr)

    def test_without_a_directory_it_says_what_to_do(self):
        with Server(BRISK, MODEL) as server:
            for method, path in (("GET", "/v1/files"), ("POST", "/v1/batches"),
                                 ("GET", "/v1/files/file-1/content"), ("DELETE", "/v1/files/x")):
                answer = server.ask(method, path, "{}" if method == "POST" else None)
                self.assertEqual(answer.status, 501)
                self.assertIn("--batch-dir", answer.error["message"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
