#!/usr/bin/env python3
"""The files of deploy/, against real servers: two replicas behind nginx and HAProxy, dashboards and
alerts against the metrics there are, units and manifests against the flags there are.

  deploy_test.py BRISK MODEL REPOSITORY

Where nginx, haproxy, promtool, zsh or fish is not installed its tests are left out.
"""

import contextlib
import http.client
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from running_server import Server, eventually  # noqa: E402

BRISK, MODEL, REPOSITORY = sys.argv[1], sys.argv[2], Path(sys.argv[3])
DEPLOY = REPOSITORY / "deploy"


def needs(program):
    found = shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return unittest.skipUnless(found, f"{program} is not installed")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def metric(server, name):
    """The sum of a metric over its labels."""
    page = server.ask("GET", "/metrics").body.decode()
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", page, flags=re.M)
    return sum(float(value) for value in found)


def alive(server):
    """Sequences that have not ended, also those whose reader does not read."""
    return sum(metric(server, f"brisk:num_requests_{state}")
               for state in ("running", "waiting", "paused"))


def completions_of(server):
    page = server.ask("GET", "/metrics").body.decode()
    found = re.findall(r'^http_requests_total\{[^}]*handler="/v1/completions"[^}]*\} (\S+)$', page,
                       flags=re.M)
    return sum(float(value) for value in found)


@contextlib.contextmanager
def behind(proxy, directory):
    """Two replicas and the port of the proxy before them."""
    with contextlib.ExitStack() as stack:
        replicas = [stack.enter_context(Server(BRISK, MODEL, "--allow-no-key")) for _ in range(2)]
        port = free_port()
        name = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[proxy]
        text = (DEPLOY / "proxy" / name).read_text()
        for old, new in (("127.0.0.1:8001", f"127.0.0.1:{replicas[0].port}"),
                         ("127.0.0.1:8002", f"127.0.0.1:{replicas[1].port}"),
                         ("127.0.0.1:8080", f"127.0.0.1:{port}"),
                         ("/run/nginx.pid", f"{directory}/nginx.pid")):
            text = text.replace(old, new)
        config = Path(directory) / name
        config.write_text(text)
        command = {"nginx": ["/usr/sbin/nginx", "-c", config, "-p", directory, "-g", "daemon off;"],
                   "haproxy": ["/usr/sbin/haproxy", "-f", config]}[proxy]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)

        def answers():
            try:
                return ask(port, "GET", "/v1/models")[0] == 200
            except OSError:
                return False
        eventually(answers)
        yield port, replicas


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body and json.dumps(body), headers or {})
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


class ProxyTest:
    """What holds behind each proxy."""

    def complete(self, port, session=None, **fields):
        headers = {"X-Session-Id": session} if session else {}
        return ask(port, "POST", "/v1/completions",
                   {"prompt": "The", "max_tokens": 2, **fields}, headers)

    def test_streams_pass_unbuffered_and_leaving_cancels(self):
        with tempfile.TemporaryDirectory() as directory, \
                behind(self.proxy, directory) as (port, replicas):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            tokens = 100 * 250
            connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": "The", "max_tokens": 250, "ignore_eos": True, "n": 100, "stream": True}))
            response = connection.getresponse()
            self.assertTrue(response.readline().startswith(b"data: "))
            connection.sock.close()
            response.close()
            eventually(lambda: sum(map(alive, replicas)) == 0)
            generated = sum(metric(each, "brisk:generation_tokens_total") for each in replicas)
            self.assertLess(generated, tokens, "the first event came before the end, and leaving cancelled the rest")

    def test_a_session_stays_on_its_replica_and_sessions_spread(self):
        with tempfile.TemporaryDirectory() as directory, \
                behind(self.proxy, directory) as (port, replicas):
            for _ in range(12):
                self.assertEqual(self.complete(port, "ann")[0], 200)
            # A request is counted just after its answer.
            eventually(lambda: sum(map(completions_of, replicas)) == 12)
            self.assertEqual(sorted(map(completions_of, replicas)), [0, 12])
            for i in range(40):
                self.assertEqual(self.complete(port, f"session-{i}")[0], 200)
            eventually(lambda: sum(map(completions_of, replicas)) == 52)
            self.assertGreater(min(map(completions_of, replicas)), 4)

    def test_a_replica_that_goes_is_not_missed(self):
        with tempfile.TemporaryDirectory() as directory, \
                behind(self.proxy, directory) as (port, replicas):
            for i in range(8):
                self.assertEqual(self.complete(port, f"session-{i}")[0], 200)
            replicas[0].process.send_signal(signal.SIGTERM)
            for _ in range(5):
                for i in range(8):
                    self.assertEqual(self.complete(port, f"session-{i}")[0], 200)
                time.sleep(0.1)
            self.assertEqual(replicas[0].process.wait(timeout=60), 0)

    def test_errors_and_large_bodies_pass(self):
        with tempfile.TemporaryDirectory() as directory, behind(self.proxy, directory) as (port, _):
            status, _, body = self.complete(port, n=0)
            self.assertEqual((status, json.loads(body)["error"]["param"]), (400, "n"))
            status, _, _ = self.complete(port, prompt="a " * 500_000, truncate_prompt_tokens=8)
            self.assertEqual(status, 200)


@needs("nginx")
class NginxTest(ProxyTest, unittest.TestCase):
    proxy = "nginx"

    def test_the_request_id_of_nginx_is_the_servers(self):
        with tempfile.TemporaryDirectory() as directory, behind("nginx", directory) as (port, _):
            _, headers, _ = self.complete(port)
            self.assertRegex(headers["x-request-id"], r"^[0-9a-f]{32}$")


@needs("haproxy")
class HaproxyTest(ProxyTest, unittest.TestCase):
    proxy = "haproxy"


class MetricsTest(unittest.TestCase):
    def page(self):
        with Server(BRISK, MODEL) as server:
            self.assertEqual(server.complete(stream=True).status, 200)

            def page():
                text = server.ask("GET", "/metrics").body.decode()
                return text if "http_requests_total" in text else None
            return eventually(page)

    def test_dashboard_and_alerts_name_metrics_that_exist(self):
        page = self.page()
        real = set(re.findall(r"^# TYPE (\S+)", page, flags=re.M))
        dashboard = (DEPLOY / "grafana/brisk.json").read_text()
        json.loads(dashboard)
        rules = (DEPLOY / "prometheus/brisk.rules.yml").read_text()
        named = re.findall(r"\b(brisk:\w+|http_\w+_total)\b", dashboard + rules)
        self.assertGreater(len(set(named)), 15)
        for name in named:
            self.assertIn(name.removesuffix("_bucket"), real)

    @needs("promtool")
    def test_promtool_passes_metrics_config_and_alerts(self):
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.page(), text=True,
                                 capture_output=True)
        # vLLM's names, which dashboards know, are not what promtool would choose.
        wrong = [line for line in (checked.stdout + checked.stderr).splitlines() if line and
                 not line.endswith("metric names should not contain ':'") and
                 not line.startswith("brisk:iteration_tokens_total non-counter metrics")]
        self.assertEqual(wrong, [])
        with tempfile.TemporaryDirectory() as directory:
            for path in (DEPLOY / "prometheus").iterdir():
                shutil.copy(path, directory)
            (Path(directory) / "brisk.key").write_text("k")
            subprocess.run(["promtool", "check", "config", f"{directory}/prometheus.yml"], check=True,
                           capture_output=True)


def known_flags(*command):
    text = subprocess.run([BRISK, *command, "--help"], capture_output=True, text=True,
                          check=True).stdout
    return set(re.findall(r"^ +(?:-\w,)?(--[a-z][a-z-]*)", text, flags=re.M))


class FilesTest(unittest.TestCase):
    def check_command(self, words):
        at = words.index("serve")
        for word in words:
            if word.startswith("--"):
                flag = word.split("=")[0]
                flags = known_flags() if words.index(word) < at else known_flags("serve")
                self.assertIn(flag, flags)

    def test_the_unit_starts_what_exists(self):
        unit = (DEPLOY / "systemd/brisk.service").read_text()
        command = shlex.split(re.search(r"^ExecStart=(.*)$", unit, flags=re.M)[1])
        self.check_command(command)
        drain = int(command[command.index("--drain-seconds") + 1])
        self.assertGreater(int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]), drain + 10)
        if shutil.which("systemd-analyze"):
            with tempfile.TemporaryDirectory() as directory:
                copy = Path(directory) / "brisk.service"
                copy.write_text(unit.replace("/usr/local/bin/brisk", BRISK))
                checked = subprocess.run(["systemd-analyze", "verify", "--man=no", copy],
                                         capture_output=True, text=True)
                wrong = [line for line in checked.stderr.splitlines() if "brisk.service" in line]
                self.assertEqual(wrong, [])

    def test_the_manifests_probe_what_answers(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("python3-yaml is not installed")
        documents = list(yaml.safe_load_all((DEPLOY / "kubernetes/brisk.yaml").read_text()))
        pod = documents[0]["spec"]["template"]["spec"]
        container = pod["containers"][0]
        self.check_command(container["args"])
        drain = next(int(a.split("=")[1]) for a in container["args"] if "drain" in a)
        self.assertGreater(pod["terminationGracePeriodSeconds"], drain + 10)
        with Server(BRISK, MODEL, "--api-key", "k") as server:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                path = container[probe]["httpGet"]["path"]
                self.assertEqual(server.ask("GET", path).status, 200, "no key is asked for")

    def test_the_image_starts_what_exists(self):
        text = (DEPLOY / "container/Containerfile").read_text()
        self.check_command(json.loads(re.search(r"^CMD (\[.*\])$", text, flags=re.M)[1]))


class DrainTest(unittest.TestCase):
    def test_live_and_ready_part_while_the_server_drains(self):
        with Server(BRISK, MODEL, "--drain-seconds", "60") as server:
            for path in ("/health", "/health/live", "/health/ready"):
                self.assertEqual(server.ask("GET", path).status, 200)
            probes = [server.connect() for _ in range(2)]
            for probe in probes:
                probe.request("GET", "/health")
                probe.getresponse().read()
            running = server.connect()
            running.request("POST", "/v1/completions", json.dumps(
                {"prompt": "The", "max_tokens": 250, "ignore_eos": True, "n": 32, "stream": True}))
            stream = running.getresponse()
            stream.readline()
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: not reachable(server))
            for probe, path, status in ((probes[0], "/health/live", 200),
                                        (probes[1], "/health/ready", 503)):
                probe.request("GET", path)
                self.assertEqual(probe.getresponse().status, status)
            self.assertTrue(stream.read().endswith(b"data: [DONE]\n\n"), "it ends properly")
            self.assertEqual(server.process.wait(timeout=60), 0)

    def test_a_drain_has_a_deadline(self):
        with Server(BRISK, MODEL, "--drain-seconds", "0.5") as server:
            running = server.connect()
            running.request("POST", "/v1/completions", json.dumps(
                {"prompt": "The", "max_tokens": 250, "ignore_eos": True, "n": 128, "stream": True}))
            stream = running.getresponse()
            stream.readline()
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            self.assertIn(b'"error"', stream.read())
            self.assertEqual(server.process.wait(timeout=60), 0)
            self.assertLess(time.monotonic() - begin, 20)


def reachable(server):
    try:
        socket.create_connection((server.host, server.port), timeout=5).close()
        return True
    except OSError:
        return False


class LogTest(unittest.TestCase):
    def lines(self, *flags):
        command = [BRISK, *flags, "serve", MODEL, "--port", "0", "--threads", "1", "--api-key", "k"]
        with Server(BRISK, MODEL, command=command) as server:
            answer = server.complete("k", headers={"X-Request-Id": "mine-1"})
            self.assertEqual(answer.headers["x-request-id"], "mine-1")
            self.assertRegex(server.complete("k").headers["x-request-id"], r"^req-[0-9a-f]{24}$")
            server.ask("GET", '/a"b\\%0a{c', key="k")
            eventually(lambda: server.log.count("\n") >= 3)
        return server.log.splitlines()

    def test_json_lines_have_request_ids(self):
        lines = [json.loads(line) for line in
                 self.lines("--log-level", "info", "--log-format", "json")]
        first = next(line for line in lines if line.get("request_id") == "mine-1")
        self.assertEqual((first["message"], first["method"], first["route"], first["status"]),
                         ("request", "POST", "/v1/completions", 200))
        self.assertGreater(first["seconds"], 0)
        self.assertRegex(first["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_text_lines_have_them_too(self):
        self.assertTrue(any('request_id="mine-1"' in line and "status=200" in line
                            for line in self.lines("--log-level", "info")))


class ShellTest(unittest.TestCase):
    def completion(self, shell):
        return subprocess.run([BRISK, "completion", shell], capture_output=True, text=True,
                              check=True).stdout

    def test_bash_completes_commands_and_every_flag(self):
        with tempfile.NamedTemporaryFile("w", suffix=".bash") as script:
            script.write(self.completion("bash"))
            script.flush()

            def complete(*words):
                line = " ".join(shlex.quote(word) for word in words)
                shown = subprocess.run(
                    ["bash", "-c", f"source {script.name}; COMP_WORDS=({line}); "
                     f"COMP_CWORD={len(words) - 1}; _brisk; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
                    capture_output=True, text=True, check=True)
                self.assertEqual(shown.stderr, "")
                return set(shown.stdout.split())
            self.assertEqual(complete("brisk", "serv"), {"serve"})
            self.assertEqual(complete("brisk", "key", "ad"), {"add"})
            self.assertEqual(complete("brisk", "--log-format", "json", "key", "li"), {"list"})
            for command in (["serve"], ["batch"], ["key", "add"], ["tokenizer", "train"]):
                self.assertLessEqual(known_flags(*command), complete("brisk", *command, "--"))

    @needs("zsh")
    def test_zsh_can_read_its_file(self):
        subprocess.run(["zsh", "-n"], input=self.completion("zsh"), text=True, check=True)

    @needs("fish")
    def test_fish_completes(self):
        with tempfile.NamedTemporaryFile("w", suffix=".fish") as script:
            script.write(self.completion("fish"))
            script.flush()
            for line, word in (("brisk serv", "serve"), ("brisk serve --tls", "--tls-cert"),
                               ("brisk key ad", "add")):
                shown = subprocess.run(["fish", "--no-config", "-c",
                                        f"source {script.name}; complete -C '{line}'"],
                                       capture_output=True, text=True, check=True)
                self.assertIn(word, shown.stdout, line)

    def test_the_manual_has_every_command_and_flag(self):
        page = subprocess.run([BRISK, "man"], capture_output=True, text=True, check=True).stdout
        plain = page.replace("\\-", "-")
        for command in (["serve"], ["batch"], ["key", "add"], ["run"]):
            self.assertIn("brisk " + " ".join(command), plain)
            for flag in known_flags(*command):
                self.assertIn(flag, plain)

    @needs("groff")
    def test_groff_formats_the_manual_without_a_warning(self):
        page = subprocess.run([BRISK, "man"], capture_output=True, check=True).stdout
        shown = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z"], input=page,
                               capture_output=True, check=True)
        self.assertEqual(shown.stderr.decode(), "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
