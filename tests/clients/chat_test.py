#!/usr/bin/env python3
"""`brisk run` as a chat in a terminal: what people type, and the keys they press.

  chat_test.py BRISK MODEL
"""

import os
import pty
import re
import select
import sys
import tempfile
import time

BRISK, MODEL = sys.argv[1:3]
SECONDS_MAX = 60
CTRL_C, CTRL_D = b"\x03", b"\x04"
TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"


class Terminal:
    def __init__(self, *arguments):
        self.child, self.end = pty.fork()
        if self.child == 0:
            os.execv(BRISK, [BRISK, "run", MODEL, *arguments])
        self.shown = b""

    def type(self, keys):
        os.write(self.end, keys if isinstance(keys, bytes) else keys.encode())

    def wait_for(self, pattern):
        """What was shown up to and with `pattern`; the rest stays for the next call."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            found = re.search(pattern.encode(), self.shown, re.S)
            if found:
                text, self.shown = self.shown[: found.end()], self.shown[found.end() :]
                return text.decode(errors="replace")
            ready, _, _ = select.select([self.end], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {self.shown!r}"
            try:
                self.shown += os.read(self.end, 65536)
            except OSError as error:  # the terminal is closed
                raise AssertionError(f"no {pattern!r} before the end of {self.shown!r}") from error

    def exit_code(self):
        try:
            while os.read(self.end, 65536):
                pass
        except OSError:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


def chats(template):
    terminal = Terminal("--chat-template", template, "-n", "8", "--threads", "1", "--temp", "0")
    terminal.wait_for("Ctrl-D ends.*?> ")
    terminal.type("\n")
    terminal.wait_for("> ")
    terminal.type("  \n")
    terminal.wait_for("> ")
    terminal.type("a line that is given up" + CTRL_C.decode())
    terminal.wait_for("> ")
    terminal.type("the h\u00e9ron \u4e16\n")
    assert "generated" in terminal.wait_for(r"first token after [^\]]*\]\s+> ")
    # Longer than the context, then on as if nothing had been said.
    terminal.type("a the in on " * 40 + "\n")
    terminal.wait_for("brisk: the prompt has .*?> ")
    for _ in range(12):
        terminal.type("in the water\n")
        text = terminal.wait_for(r"generated [^\]]*\](\s+\[[^\]]*forgotten\])?\s+> ")
    assert "forgotten" in text
    terminal.type(CTRL_D)
    assert terminal.exit_code() == 0


def stops_answers(template):
    arguments = ("-n", "1000000", "--ignore-eos", "--context", "1000100", "--threads", "1")
    terminal = Terminal("--chat-template", template, *arguments)
    terminal.wait_for("> ")
    for _ in range(2):
        terminal.type("go\n")
        terminal.wait_for("go.{40}")
        terminal.type(CTRL_C)
        terminal.wait_for(r"generated [^\]]*\]\s+> ")
    terminal.type(CTRL_D)
    assert terminal.exit_code() == 0


def refuses_to_chat():
    terminal = Terminal("--threads", "1")
    terminal.wait_for("brisk: this model cannot chat.*?--chat-template")
    assert terminal.exit_code() == 1


def main():
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
        template.write(TEMPLATE)
        template.flush()
        chats(template.name)
        stops_answers(template.name)
    refuses_to_chat()


if __name__ == "__main__":
    main()
