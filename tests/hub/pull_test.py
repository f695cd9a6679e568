#!/usr/bin/env python3
"""brisk pull against a hub here that drops connections, lies and redirects.

  pull_test.py BRISK MODEL.gguf HUGGING_FACE_DIRECTORY
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from hub_server import COMMIT, Hub, git_sha1  # noqa: E402
from split_gguf import split  # noqa: E402

BRISK, MODEL, DIRECTORY = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
GGUF = "tiny-Q8_0.gguf"
SECONDS_MAX = 60


def environment(hub, home, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "BRISK_"))}
    clean.update(HOME=str(home), no_proxy="*", **more)
    if hub is not None:
        clean["HF_ENDPOINT"] = hub.url
    return clean


class PullTest(unittest.TestCase):
    def setUp(self):
        self.contents = MODEL.read_bytes()
        self.hub = Hub({GGUF: self.contents, "README.md": b"a model\n"})
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.home = Path(scratch.name)
        self.cache = self.home / ".cache/huggingface/hub"
        self.repo = self.cache / "models--org--tiny"
        self.blob = self.repo / "blobs" / hashlib.sha256(self.contents).hexdigest()

    def brisk(self, *arguments, hub="ours", **more):
        hub = self.hub if hub == "ours" else hub
        return subprocess.run([BRISK, *arguments], env=environment(hub, self.home, **more),
                              capture_output=True, text=True, timeout=SECONDS_MAX,
                              stdin=subprocess.DEVNULL)

    def pull(self, what="org/tiny", *arguments, **more):
        return self.brisk("pull", what, *arguments, **more)

    def check_pulled(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        path = Path(done.stdout.strip())
        self.assertEqual(path, self.repo / "snapshots" / COMMIT / GGUF)
        self.assertEqual(path.read_bytes(), self.contents)
        self.assertEqual(os.readlink(path), f"../../blobs/{self.blob.name}")
        self.assertEqual((self.repo / "refs/main").read_text(), COMMIT)
        self.assertEqual(sorted(p.name for p in (self.repo / "blobs").iterdir()),
                         [self.blob.name])

    def check_refused(self, done, reason):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, reason)
        self.assertFalse((self.repo / "snapshots").exists(), "nothing is linked")
        self.assertFalse(self.blob.exists())

    def test_lays_the_cache_out_as_others_do(self):
        self.check_pulled(self.pull())
        self.assertEqual(self.hub.fetched(), [f"/org/tiny/resolve/{COMMIT}/{GGUF}"])
        self.check_pulled(self.pull("org/tiny:Q8_0"))
        self.check_pulled(self.pull(f"org/tiny:{GGUF}"))
        self.assertEqual(len(self.hub.fetched()), 1, "what is there is not fetched again")

    def test_fetches_all_parts_of_a_model_and_opens_them(self):
        self.hub.files = {f"Q8_0/tiny-Q8_0-{i + 1:05}-of-00003.gguf": part
                          for i, part in enumerate(split(self.contents, 3))}
        done = self.pull("org/tiny:Q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        first = Path(done.stdout.strip())
        self.assertEqual(first.name, "tiny-Q8_0-00001-of-00003.gguf")
        self.assertEqual(len(list(first.parent.iterdir())), 3)
        later = self.pull("org/tiny:Q8_0/tiny-Q8_0-00002-of-00003.gguf")
        self.assertEqual(later.stdout, done.stdout, "the first stands for all")
        self.assertEqual(self.pull("org/tiny:Q8_0", "--offline").stdout, done.stdout)

        ask = ["-p", "Once", "--temp", "0", "-n", "8"]
        whole = self.brisk("run", str(MODEL), *ask)
        parts = self.brisk("run", str(first), *ask)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        self.assertEqual((parts.returncode, parts.stdout), (0, whole.stdout), parts.stderr)
        self.assertIn("not the first part", self.brisk("inspect", str(
            first.with_name("tiny-Q8_0-00002-of-00003.gguf"))).stderr)

        one = self.home / "one.gguf"
        self.assertEqual(self.brisk("compile", str(first), str(one)).returncode, 0)
        compiled = self.brisk("run", str(one), *ask)
        self.assertEqual((compiled.returncode, compiled.stdout), (0, whole.stdout))

        last = first.with_name("tiny-Q8_0-00003-of-00003.gguf")
        swapped = last.read_bytes()
        last.unlink()
        self.assertIn(last.name, self.brisk("inspect", str(first)).stderr)
        second = first.with_name("tiny-Q8_0-00002-of-00003.gguf")
        last.write_bytes(second.read_bytes())
        self.assertIn("it says that it is part 2 of 3", self.brisk("inspect", str(first)).stderr)
        last.write_bytes(swapped[:len(swapped) // 2])
        self.assertIn(last.name, self.brisk("inspect", str(first)).stderr)

    def test_a_missing_part_is_no_model(self):
        self.hub.files = {"tiny-Q8_0-00001-of-00002.gguf": self.contents}
        self.check_refused(self.pull("org/tiny:Q8_0"), "tiny-Q8_0-00002-of-00002.gguf")

    def test_resumes_through_broken_connections(self):
        self.hub.drop_after = len(self.contents) // 5 + 1
        self.check_pulled(self.pull())
        ranges = [h.get("Range") for p, h in self.hub.seen if "/resolve/" in p]
        self.assertEqual(ranges[:2], [None, f"bytes={self.hub.drop_after}-"])
        self.assertEqual(len(ranges), 5)

    def test_resumes_what_an_earlier_run_left(self):
        self.blob.parent.mkdir(parents=True)
        Path(f"{self.blob}.incomplete").write_bytes(self.contents[:1000])
        self.check_pulled(self.pull())
        self.assertEqual(self.hub.seen[-1][1].get("Range"), "bytes=1000-")

    def test_begins_anew_where_ranges_are_ignored(self):
        self.hub.ranges = False
        self.blob.parent.mkdir(parents=True)
        Path(f"{self.blob}.incomplete").write_bytes(b"x" * 1000)
        self.check_pulled(self.pull())

    def test_what_is_left_and_wrong_is_found_out_and_thrown_away(self):
        self.blob.parent.mkdir(parents=True)
        incomplete = Path(f"{self.blob}.incomplete")
        incomplete.write_bytes(b"x" * 1000)
        self.check_refused(self.pull(), "SHA-256")
        self.assertFalse(incomplete.exists())
        self.check_pulled(self.pull())
        self.blob.unlink()
        incomplete.write_bytes(b"x" * (len(self.contents) + 1))  # longer than it can be
        self.check_pulled(self.pull())

    def test_refuses_lies(self):
        self.hub.hash_lie = True
        self.check_refused(self.pull(), "SHA-256")
        self.hub.hash_lie, self.hub.length_lie = False, 1
        self.check_refused(self.pull(), "more than the [0-9]+ bytes")
        self.hub.length_lie = -1
        self.check_refused(self.pull(), "nothing of the 1 bytes|no such range")

    def test_refuses_another_range_than_was_asked(self):
        self.hub.wrong_range = True
        self.blob.parent.mkdir(parents=True)
        Path(f"{self.blob}.incomplete").write_bytes(self.contents[:1000])
        self.check_refused(self.pull(), "bytes from 999 on")

    def test_small_files_are_checked_too(self):
        self.hub.files = {p.name: p.read_bytes() for p in DIRECTORY.iterdir()}
        config = self.hub.files["config.json"]
        listing = self.hub.listing
        self.hub.files["config.json"] = config.replace(b"1", b"2", 1)
        wrong = self.hub.files
        self.hub.listing = lambda: (setattr(self.hub, "files", {**wrong, "config.json": config}),
                                    listing(), setattr(self.hub, "files", wrong))[1]
        self.check_refused(self.pull(), "config.json: .*SHA-1")

    def test_names_cannot_lead_out_of_the_cache(self):
        sha1 = git_sha1(b"evil")
        for path in ("../../evil.gguf", "/tmp/evil.gguf", "a/../../../evil.gguf"):
            self.hub.files = {}
            self.hub.extra_siblings = [{"rfilename": path, "size": 4, "blobId": sha1}]
            self.check_refused(self.pull(), "neither a GGUF")
        self.hub.extra_siblings = [{"rfilename": "a.gguf", "size": 4, "blobId": "../../../evil"}]
        self.check_refused(self.pull(), "neither a GGUF")
        self.hub.commit = "../../../../evil"
        self.check_refused(self.pull(), "no commit")
        for name in ("../x", "org/../x", "org/tiny:../../x", "org/tiny:/x"):
            self.assertEqual(self.pull(name).returncode, 1, name)
        self.assertEqual(self.pull("org/tiny", "--revision", "../../x").returncode, 1)
        self.assertFalse([p for p in self.home.rglob("*evil*")])

    def test_a_token_is_for_the_hub_alone(self):
        self.hub.token = "hf_secret"
        self.check_refused(self.pull(), "HF_TOKEN")
        other = Hub(self.hub.files)
        self.addCleanup(other.server_close)
        self.addCleanup(other.shutdown)
        self.hub.redirect_to = other
        done = self.pull(HF_TOKEN="hf_secret")
        self.check_pulled(done)
        self.assertNotIn("hf_secret", done.stdout + done.stderr)
        self.assertEqual(len(other.seen), 1)
        self.assertNotIn("Authorization", other.seen[0][1])
        done = self.brisk("pull", "org/tiny", "--endpoint", "http://hub.example", HF_TOKEN="hf_s")
        self.assertIn("clear text", done.stderr)

    def test_redirects_end(self):
        self.hub.redirect_to = self.hub
        self.check_refused(self.pull(), "redirect")

    def test_tries_again_after_errors_of_the_hub(self):
        self.hub.fail_with = [503, 500]
        self.check_pulled(self.pull())
        self.hub.fail_with = [404]
        self.blob.unlink()
        self.assertRegex(self.pull().stderr, "404")

    def test_says_what_there_is(self):
        done = self.pull("org/tiny:Q4_K_M")
        self.check_refused(done, f"it has {GGUF}")
        self.check_refused(self.pull("org/other"), "no such model")
        self.hub.shutdown()
        self.hub.server_close()
        self.check_refused(self.pull(), "connect")

    def test_run_and_serve_fetch_what_is_not_here(self):
        generate = ["run", "org/tiny", "-p", "a", "-n", "2", "--temp", "0", "--threads", "1"]
        refused = self.brisk(*generate, "--offline")
        self.check_refused(refused, "--offline")
        self.assertEqual(self.hub.seen, [])
        done = self.brisk(*generate)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fetching it from", done.stderr)
        seen = len(self.hub.seen)
        again = self.brisk(*generate, "--offline")
        self.assertEqual(again.stdout.split("\n")[0], done.stdout.split("\n")[0])
        self.assertEqual(self.brisk(*generate).returncode, 0)
        self.assertEqual(len(self.hub.seen), seen, "the hub is not asked for what is here")
        with self.server("org/tiny") as url:
            with urllib.request.urlopen(url + "/v1/models", timeout=10) as answer:
                self.assertEqual(json.load(answer)["data"][0]["id"], "org/tiny")

    def test_a_hugging_face_directory_is_pulled_and_served(self):
        self.hub.files = {p.name: p.read_bytes() for p in DIRECTORY.iterdir()}
        self.hub.files["pytorch_model.bin"] = b"not this"
        done = self.pull()
        self.assertEqual(done.returncode, 0, done.stderr)
        snapshot = Path(done.stdout.strip())
        names = {p.name for p in snapshot.iterdir()}
        self.assertLessEqual({"config.json", "tokenizer.json", "model.safetensors"}, names)
        self.assertNotIn("pytorch_model.bin", names)
        for path in snapshot.iterdir():
            self.assertEqual(path.read_bytes(), self.hub.files[path.name])
        with self.server("org/tiny", "--offline"):
            pass

    @contextlib.contextmanager
    def server(self, *arguments):
        command = [BRISK, "serve", *arguments, "--port", "0", "--threads", "1"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL,
                                  env=environment(self.hub, self.home))
        try:
            address = re.search(r"http://\S+?:\d+", server.stdout.readline())
            self.assertTrue(address, "the server did not print its address")
            yield address.group()
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(timeout=30), 0)
        finally:
            server.kill()
            server.stdout.close()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
