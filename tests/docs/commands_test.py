#!/usr/bin/env python3
"""Runs every `brisk` command that the documentation shows, on a small model.

  commands_test.py BRISK REPOSITORY MODEL ADAPTER

MODEL, ADAPTER, FILE, TEXT and output names in the documentation stand for real ones here.
`brisk serve` is started, must come up healthy and must end cleanly when asked to. `brisk load` gets
a server of its own, and loads that it can bear.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "hub"))
from hub_server import Hub  # noqa: E402

BRISK, REPOSITORY, MODEL, ADAPTER = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:5]
SECONDS_MAX = 120


def commands(text):
    """Inline `brisk ...` and lines of code blocks that begin with brisk."""
    found = re.findall(r"`(brisk [a-z][^`\n]*)`", text)
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.S):
        found += [line for line in block.splitlines() if re.match(r"brisk [a-z]", line)]
    return found


def real(command, directory):
    """The arguments with placeholders filled in; small sizes, so that it ends soon."""
    text = directory / "text.txt"
    text.write_text("Once upon a time there was a little dog.\n")
    words = shlex.split(command, comments=True)[1:]
    models = r"MODEL|model\.gguf|\./Qwen3-0\.6B"
    filled = []
    for word in words:
        if re.fullmatch(models, word):
            word = MODEL
        elif word == "ADAPTERS":
            word = str(directory)
        elif word.endswith("ADAPTER"):
            word = word.removesuffix("ADAPTER") + ADAPTER
        elif word == "FILE":
            word = str(text)
        elif word in ("texts.jsonl", "other.jsonl"):
            story = json.dumps({"text": "Once upon a time there was a little dog."})
            (directory / word).write_text((story + "\n") * 9)
            word = str(directory / word)
        elif word == "schema.json":
            schema = '{"properties": {"name": {"type": "string", "maxLength": 9}}}'
            (directory / word).write_text(schema)
            word = str(directory / word)
        elif word == "list.gbnf":
            (directory / word).write_text('root ::= ("- " [a-z]{1,9} "\\n"){1,3}\n')
            word = str(directory / word)
        elif word == "keys.txt":
            (directory / word).write_text("sk-dave 3 name=dave\nsk-emma\n")
            word = str(directory / word)
        elif word in ("server.crt", "server.key"):
            word = str(certificate(directory) / word)
        elif word == "batches":
            word = str(directory / word)
        elif word == "requests.jsonl":
            request = {"custom_id": "a", "method": "POST", "url": "/v1/completions",
                       "body": {"prompt": "Hello", "max_tokens": 3}}
            (directory / word).write_text(json.dumps(request) + "\n")
            word = str(directory / word)
        elif word == "answers.jsonl":
            word = str(directory / word)
        elif word == "MODELS":
            word = str(directory / word)
            shutil.copytree(REPOSITORY / "models" / "brisk-small", directory / "MODELS" / "small")
        elif word == "models.toml":
            (directory / word).write_text(f'[models.small]\npath = "{MODEL}"\npreload = true\n')
            word = str(directory / word)
        elif word == "recipe.toml":
            (directory / word).write_text(documented_recipe(directory))
            word = str(directory / word)
        elif word in ("kv-cache", "OUT"):
            word = str(directory / word)
        elif re.fullmatch(r"[A-Za-z-]+\.gguf", word):
            word = str(directory / word)
        elif word == "llama-3.2-1b":
            word = "stories15m"
        elif re.match(r"pp\d+", word):
            word = "pp16,tg8"
        filled.append(word)
    if filled[0] in ("eval", "inspect", "tasks", "tokenizer", "tokenize"):
        filled = small_tasks(filled, directory)
    elif ">" in filled:
        filled = filled[:filled.index(">")]  # the shell's business
    elif filled[0] == "serve" and "--port" in filled:
        filled[filled.index("--port") + 1] = "0"
    elif filled[0] == "serve":
        filled += ["--port", "0"]
    elif filled[0] == "load" or filled[:2] == ["bench", "serve"]:
        filled = small_load(filled, directory)
    elif filled[:2] == ["bench", "sparse"]:
        filled += ["--size", "256", "--repetitions", "1"]
    return filled


def documented_recipe(directory):
    """The recipe of docs/compression.md and the texts it names; without its training, which the tests
    of brisk-train run, and with a gate that little text can hold."""
    text = (REPOSITORY / "docs/compression.md").read_text()
    recipe = re.search(r"```\n(# recipe\.toml.*?)```", text, re.S).group(1)
    recipe, trainings = re.subn(r'\[\[step\]\]\nrun = "recover".*?\n\n', "", recipe, flags=re.S)
    assert trainings == 1
    for name in ("texts.jsonl", "held-out.jsonl"):
        line = json.dumps({"text": "Once upon a time there was a little dog. " * 9})
        (directory / name).write_text(f"{line}\n" * 3)
    return re.sub("max-kl = .*", "max-kl = 100", recipe)


def certificate(directory):
    """`directory`, with a key and a certificate that nobody trusts."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
                    "/CN=localhost", "-out", directory / "server.crt", "-keyout",
                    directory / "server.key"], check=True, capture_output=True)
    return directory


def small_load(words, directory):
    """The arguments of `brisk load` with traces that exist, few requests and short ones."""
    azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,80,10\n"
    (directory / "azure.csv").write_text(azure)
    mooncake = '{"timestamp": 0, "input_length": 80, "output_length": 9, "hash_ids": [0]}\n'
    (directory / "mooncake.jsonl").write_text(mooncake)
    small = {"--requests": "4", "--prompt-tokens": "6", "--output-tokens": "3", "--rate": "50",
             "--sweep": "rate=20,50", "--slo": "ttft=60s", "--length-scale": "0.1", "--warmup": "2"}
    filled = list(words)
    for i, word in enumerate(words):
        if word in small:
            filled[i + 1] = small[word]
        elif re.search(r"\.(html|csv|jsonl)$", word):
            filled[i] = str(directory / word)
    for flag in ("--requests", "--prompt-tokens", "--output-tokens"):
        if flag not in words:
            filled += [flag, small[flag]]
    return filled


def small_tasks(words, directory):
    """The arguments of commands around tasks with files that exist, and little to do."""
    sample = ('{"messages":[{"role":"user","content":"Copy: a b c"}],"task":"copy",'
              '"level":"easy","answer":"a b c"}\n')
    (directory / "book.txt").write_text("Once upon a time there was a little dog.\n" * 9)
    small = {"--count": "2", "--limit": "2", "--vocab-size": "264"}
    questions = {"choices.jsonl": {"query": "The dog", "choices": ["ran", "the"], "gold": 0},
                 "questions.jsonl": {"question": "2 + 2?", "answer": "#### 4"}}
    filled = list(words)
    for i, word in enumerate(words):
        if word in small:
            filled[i + 1] = small[word]
        elif word in questions:
            filled[i] = str(directory / word)
            (directory / word).write_text(json.dumps(questions[word]) + "\n")
        elif word.endswith(".jsonl"):
            filled[i] = str(directory / word)
            (directory / word).write_text(sample * 9)
        elif words[0] in ("eval", "inspect") and word.endswith(".gguf") and word != MODEL:
            shutil.copy(MODEL, word)
        elif word == "report.html":
            filled[i] = str(directory / word)
        elif word == "book.txt":
            filled[i] = str(directory / word)
        elif word == "my-tokenizer":
            filled[i] = str(directory / word)
            if words[0] == "tokenize":
                run(["tokenizer", "train", str(directory / "book.txt"), "--vocab-size", "264",
                     "-o", filled[i]])
    asked = "--tasks" in words or "--questions" in words
    if asked:
        filled += ["--max-tokens", "4"]
    if asked and "--server" not in words:
        filled += ["--chat-template", chat_template(directory)]
    return filled


def chat_template(directory):
    path = directory / "chat.jinja"
    path.write_text("{% for m in messages %}{{ m.content }} {% endfor %}")
    return str(path)


def ask_server(arguments, directory):
    template = chat_template(directory)
    with running_server(["serve", MODEL, "--port", "0", "--chat-template", template]) as url:
        arguments[arguments.index("--server") + 1] = url
        run(arguments)


def load(arguments):
    with running_server(["serve", MODEL, "--port", "0"]) as url:
        if "--url" in arguments:
            arguments[arguments.index("--url") + 1] = url
        else:
            arguments += ["--url", url]
        run(arguments)


def run(arguments):
    subprocess.run([BRISK, *arguments], check=True, timeout=SECONDS_MAX,
                   stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def running_server(arguments):
    """The address of a server that comes up healthy, and afterwards ends cleanly."""
    server = subprocess.Popen([BRISK, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"https?://\S+?:\d+", server.stdout.readline())
        assert address, "the server did not print its address"
        trust = ssl._create_unverified_context() if address.group().startswith("https") else None
        with urllib.request.urlopen(address.group() + "/health", timeout=10, context=trust) as answer:
            assert answer.status == 200
        yield address.group()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0, f"ended with {server.returncode}"
    finally:
        server.kill()


@contextlib.contextmanager
def hub_of_everything():
    """Whatever model is asked of a hub, it is this one."""
    with tempfile.TemporaryDirectory() as cache:
        hub = Hub({"tiny-Q8_0.gguf": Path(MODEL).read_bytes()}, repos=None)
        os.environ.update(HF_ENDPOINT=hub.url, HF_HUB_CACHE=cache, no_proxy="*")
        yield
        hub.shutdown()
        hub.server_close()


def main():
    with hub_of_everything():
        run_all()


def run_all():
    pages = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    pages = [page for page in pages if page.name != "training.md"]  # tests/train/docs_test.py
    failed = ran = 0
    for page in pages:
        for command in commands(page.read_text()):
            with tempfile.TemporaryDirectory() as directory:
                arguments = real(command, Path(directory))
                ran += 1
                try:
                    if arguments[0] == "serve":
                        with running_server(arguments):
                            pass
                    elif arguments[0] == "load":
                        load(arguments)
                    elif "--server" in arguments:
                        ask_server(arguments, Path(directory))
                    else:
                        run(arguments)
                except (AssertionError, OSError, subprocess.SubprocessError) as error:
                    failed += 1
                    print(f"{page.name}: {command}\n    as {shlex.join(arguments)}\n    {error}")
    print(f"{ran} commands, {failed} failed")
    assert ran >= 8, "the documentation's commands were not found"
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
