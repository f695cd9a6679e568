#!/usr/bin/python3
"""Writes expected_chats.json and expected_snippets.json: what jinja2, set up as Hugging Face's
apply_chat_template does it, makes of the templates in templates/ and of the snippets in
snippets.txt. Needs Debian's python3-jinja2; the C++ tests need only the files it writes.
"""

import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2025, 7, 4, 9, 8, 7)


class Generation(Extension):
    """{% generation %}: a scope of its own, whose text is kept."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_keep")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _keep(self, caller):
        return caller()


class Raised(jinja2.exceptions.TemplateError):
    pass


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def render(source, variables):
    """{"output": text}, or {"error": kind, "message": jinja2's words}."""
    try:
        return {"output": environment().from_string(source).render(**variables)}
    except jinja2.exceptions.TemplateSyntaxError as error:
        return {"error": "syntax", "message": str(error.message)}
    except jinja2.exceptions.SecurityError as error:
        return {"error": "unsafe", "message": str(error)}
    except jinja2.exceptions.UndefinedError as error:
        return {"error": "undefined", "message": str(error)}
    except Raised as error:
        return {"error": "raised", "message": str(error)}
    except SyntaxError as error:  # Python's, about the code jinja2 made: a break without a loop
        return {"error": "syntax", "message": str(error)}
    except Exception as error:
        return {"error": "other", "message": f"{type(error).__name__}: {error}"}


def system(content):
    return {"role": "system", "content": content}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name, arguments, call_id="abcdefghi"):
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather at a place.\nSlow & <sure>.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "a town, e.g. \"Zürich\""},
                "days": {"type": "integer", "description": "how many", "default": 3},
                "unit": {"type": "string", "enum": ["C", "F"], "description": "degrees"},
            },
            "required": ["place"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Finds pages.",
        "parameters": {
            "type": "object",
            "properties": {
                "words": {"type": "array", "items": {"type": "string"}, "description": "what for"},
                "limit": {"type": ["integer", "null"], "description": "at most", "maximum": 1e3},
                "exact": {"type": "boolean", "description": "no synonyms", "default": False},
                "weight": {"type": "number", "description": "0.5 is usual", "default": 0.5},
            },
            "required": [],
        },
        "return": {"type": "object"},
    },
}

CONVERSATIONS = {
    "one_turn": {"messages": [user("Hello!")]},
    "system": {"messages": [system("  Be brief.\n"), user("Hello!")]},
    "multi_turn": {
        "messages": [
            system("Be kind."),
            user(" What is 2+2? "),
            assistant(" 4 "),
            user("And doubled?\n\n"),
            assistant("<think>\nfour times two\n</think>\n\nIt is 8."),
            user("thanks"),
        ]
    },
    "unicode": {"messages": [user("Grüße, 世界! 👩‍🚀 ǆ ß \u00a0\u2028é"), assistant("ΑΣ  ﬁn"), user("ça?")]},
    "empty_content": {"messages": [system(""), user(""), assistant(""), user("\n")]},
    "no_prompt": {"messages": [user("Hi"), assistant("Hello.")], "add_generation_prompt": False},
    "answer_last": {"messages": [user("Hi"), assistant("<think>\nhm\n</think>\nHello.")]},
    "parts": {
        "messages": [
            system([{"type": "text", "text": "See."}]),
            user([{"type": "image"}, {"type": "text", "text": " What is it? "}, {"type": "text", "text": "Say!"}]),
        ]
    },
    "two_users": {"messages": [user("one"), user("two")]},
    "odd_role": {"messages": [user("a"), {"role": "critic", "content": "b"}]},
    "no_messages": {"messages": []},
    "null_content": {"messages": [user("go"), assistant(None), user("on")]},
    "tools": {
        "messages": [system("Use tools."), user("Weather in Oslo?")],
        "tools": [WEATHER, SEARCH],
    },
    "tool_call": {
        "messages": [
            user("Weather in Oslo & <Bergen>?"),
            assistant("", tool_calls=[call("get_weather", {"place": "Oslo", "days": 2, "x": [1.5, None, True]})]),
            {"role": "tool", "name": "get_weather", "tool_call_id": "abcdefghi", "content": "rain\n7 °C"},
            assistant("It rains."),
            user("And \"Bergen\"?"),
        ],
        "tools": [WEATHER],
    },
    "two_calls": {
        "messages": [
            user("Both."),
            assistant(
                None,
                tool_calls=[
                    call("get_weather", {"place": "Oslo"}, "aaaaaaaaa"),
                    call("search", {"words": ["a", "b"]}, "bbbbbbbbb"),
                ],
            ),
            {"role": "tool", "tool_call_id": "aaaaaaaaa", "content": "rain"},
            {"role": "tool", "tool_call_id": "bbbbbbbbb", "content": "{\"hits\": 0}"},
        ],
        "tools": [WEATHER, SEARCH],
    },
    "thinking_off": {"messages": [user("Hi")], "enable_thinking": False, "reasoning_effort": "low"},
    "no_tokens": {"messages": [user("Hi")], "bos_token": None, "eos_token": None},
    "documents": {
        "messages": [user("Which?")],
        "documents": [{"doc_id": 7, "title": "Seven", "text": "Cats."}, {"doc_id": "8", "title": "E", "text": ""}],
        "thinking": True,
    },
}


def variables_of(conversation):
    variables = {
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
        **conversation,
    }
    return {name: value for name, value in variables.items() if value is not None or name in ("tools", "documents")}


def write(name, content):
    text = json.dumps(content, ensure_ascii=False, indent=0, separators=(",", ":"))
    (HERE / name).write_text(text + "\n", newline="\n")


def main():
    conversations = {name: variables_of(it) for name, it in CONVERSATIONS.items()}
    templates = {
        path.stem: {name: render(path.read_text(), it) for name, it in conversations.items()}
        for path in sorted((HERE / "templates").glob("*.jinja"))
    }
    write("expected_chats.json", {"conversations": conversations, "templates": templates})

    variables = json.loads((HERE / "snippet_variables.json").read_text())
    snippets = (HERE / "snippets.txt").read_bytes().decode().split("\n----\n")
    write(
        "expected_snippets.json",
        [{"source": source, **render(source, variables)} for source in snippets],
    )


if __name__ == "__main__":
    main()
