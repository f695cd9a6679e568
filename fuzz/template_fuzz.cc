// Chat templates: whatever the template, parsing and rendering it ends, within its limits, with a
// text or an error. The first byte says whether the rest is a template as it stands or the choices
// of a generator that writes well-formed ones.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/json.h"
#include "model/template/chat_template.h"

namespace {

constexpr brisk::TemplateLimits kLimits{.source_bytes_max = 64 << 10,
                                        .nesting_max = 100,
                                        .depth_max = 200,
                                        .steps_max = 50'000,
                                        .value_bytes_max = 4 << 20,
                                        .output_bytes_max = 1 << 20};

// Writes a template, letting the input choose at every turn.
class Generator {
 public:
  explicit Generator(std::string_view choices) : choices_(choices) {}

  std::string run() {
    while (at_ < choices_.size() && text_.size() < kLimits.source_bytes_max / 2) statement(0);
    return text_;
  }

 private:
  static constexpr int kDepthMax = 8;

  uint8_t choose(size_t among) {
    const auto byte = at_ < choices_.size() ? static_cast<uint8_t>(choices_[at_++]) : uint8_t{0};
    return static_cast<uint8_t>(byte % among);
  }

  template <size_t kCount>
  void add_one_of(const std::string_view (&pieces)[kCount]) {
    text_ += pieces[choose(kCount)];
  }

  void name() { add_one_of({"x", "y", "ns", "d", "xs", "s", "n", "f", "m", "messages", "loop"}); }

  void filter() {
    add_one_of({"abs",
                "attr('a')",
                "capitalize",
                "default(1)",
                "dictsort",
                "escape",
                "first",
                "float",
                "format(1)",
                "indent(2)",
                "int",
                "items",
                "join(',')",
                "last",
                "length",
                "list",
                "lower",
                "map('upper')",
                "max",
                "min",
                "reject",
                "replace('a',s)",
                "map(attribute='a.0')",
                "reverse",
                "round(1)",
                "select",
                "selectattr('a','eq',1)",
                "sort",
                "string",
                "sum",
                "title",
                "tojson",
                "tojson(indent=2)",
                "trim",
                "unique",
                "upper",
                "wordcount",
                "sort(attribute='a,b')",
                "map('map','list')",
                "map('default', x)"});
  }

  void method() {
    add_one_of({"strip()",
                "split()",
                "split(s)",
                "rsplit('a',1)",
                "splitlines()",
                "upper()",
                "title()",
                "replace('',s)",
                "find(s)",
                "rfind(s)",
                "count('a')",
                "join(xs)",
                "format(x,y)",
                "items()",
                "keys()",
                "get(x,y)",
                "startswith(s)",
                "endswith(('a',))",
                "zfill(n)",
                "center(n)",
                "partition(s)",
                "index(x)",
                "removeprefix(s)",
                "isdigit()",
                "pop()",
                "a",
                "b.c",
                "0",
                "nextitem",
                "previtem",
                "last",
                "length",
                "cycle(1,2)",
                "changed(x)"});
  }

  void literal() {
    add_one_of({"1", "0", "-7", "2.5", "1e300", "'a'", "'é世👩'", "''", "true", "none", "[]", "{}",
                "()", "9223372036854775807", "'%s %d %(a)s'", "'{} {0.a} {x:>5}'", "range(9)",
                "' a b '", "'a\\nb'"});
  }

  void expression(int depth) {
    if (depth >= kDepthMax) return choose(2) == 0 ? name() : literal();
    switch (choose(12)) {
      case 0:
      case 1:
        return name();
      case 2:
        return literal();
      case 3:
        expression(depth + 1);
        add_one_of({" + ", " - ", " * ", " / ", " // ", " % ", " ** ", " ~ ", " == ", " != ", " < ",
                    " >= ", " in ", " not in ", " and ", " or "});
        return expression(depth + 1);
      case 4:
        text_ += "(";
        expression(depth + 1);
        text_ += ")";
        return;
      case 5:
        expression(depth + 1);
        text_ += "|";
        return filter();
      case 6:
        name();
        text_ += ".";
        return method();
      case 7:
        text_ += "(";
        expression(depth + 1);
        text_ += ")[";
        expression(depth + 1);
        if (choose(2) == 0) text_ += ":";
        if (choose(2) == 0) literal();
        text_ += "]";
        return;
      case 8:
        text_ += choose(2) == 0 ? "[" : "(";
        return list(text_.back() == '[' ? "]" : ",)", depth);
      case 9:
        text_ += "{'a': ";
        expression(depth + 1);
        text_ += ", x: 1}";
        return;
      case 10:
        expression(depth + 1);
        text_ += " is ";
        add_one_of({"defined", "none", "string", "mapping", "odd", "not iterable", "eq 1", "in xs",
                    "sequence", "divisibleby 2", "sameas x", "upper", "callable"});
        return;
      default:
        add_one_of({"m", "f", "caller", "namespace", "dict", "loop", "range", "strftime_now"});
        text_ += "(";
        return list(")", depth);
    }
  }

  void list(std::string_view end, int depth) {
    for (int left = choose(4); left > 0; --left) {
      expression(depth + 1);
      if (left > 1) text_ += ", ";
    }
    text_ += end;
  }

  void body(int depth) {
    for (int left = choose(3); left >= 0; --left) statement(depth + 1);
  }

  void tag(std::string_view begin, std::string_view end, int depth) {
    text_ += begin;
    expression(depth + 2);
    text_ += choose(4) == 0 ? " -%}" : " %}";
    body(depth);
    text_ += end;
  }

  void print(int depth) {
    text_ += "{{ ";
    expression(depth);
    text_ += " }}";
  }

  void statement(int depth) {
    if (depth >= kDepthMax) return print(depth);
    switch (choose(14)) {
      case 0:
        return tag("{% if ", "{% else %}b{% endif %}", depth);
      case 1:
        return tag("{% for x in ", "{% endfor %}", depth);
      case 2:
        return tag("{% for x, y in xs if ", "{% else %}e{% endfor %}", depth);
      case 3:
        text_ += "{% for x in d recursive %}";
        body(depth);
        text_ += "{{ loop(x) }}{% break %}{% endfor %}";
        return;
      case 4:
        text_ += "{% set ";
        add_one_of({"x", "y", "ns.x", "ns.y", "x, y", "xs", "s"});
        text_ += " = ";
        expression(depth + 1);
        text_ += " %}";
        return;
      case 5:
        text_ += "{% set ns = namespace(x=1, y=x) %}";
        return;
      case 6:
        return tag("{% macro m(a, b=1) %}{{ ", "{{ a }}{{ kwargs }}{% endmacro %}", depth);
      case 7:
        text_ += "{% macro f() %}{{ caller(1) }}{{ varargs }}";
        body(depth);
        text_ += "{% endmacro %}";
        return;
      case 8:
        text_ += "{% call(x) f() %}";
        body(depth);
        text_ += "{% endcall %}";
        return;
      case 9:
        text_ += "{% filter ";
        filter();
        text_ += " %}";
        body(depth);
        text_ += "{% endfilter %}";
        return;
      case 10:
        text_ += "{% set s | ";
        filter();
        text_ += " %}";
        body(depth);
        text_ += "{% endset %}";
        return;
      case 11:
        return tag("{% with x = ", "{% endwith %}", depth);
      default:
        return print(depth);
    }
  }

  const std::string_view choices_;
  size_t at_ = 0;
  std::string text_;
};

const brisk::OrderedJson& variables() {
  static const brisk::OrderedJson json = *brisk::parse_ordered_json(R"({
    "x": 3, "y": "é世 a b", "n": 7, "s": "a,b\nc", "d": {"a": {"b": [1, 2]}, "é": null, "items": 1},
    "xs": [[1, 2], {"a": 1}, "ab", null, true, 2.5, []], "tools": null, "add_generation_prompt": true,
    "messages": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "Hi"},
                 {"role": "assistant", "content": null, "tool_calls": [{"name": "f"}]}]})");
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string source = data[0] % 2 == 0 ? std::string(rest) : Generator(rest).run();
  const auto parsed = brisk::ChatTemplate::parse(source, kLimits);
  if (!parsed.ok()) return 0;
  const auto text = (*parsed)->render(variables(), kLimits, absl::CivilSecond(2025, 7, 4));
  if (text.ok() && text->size() > kLimits.output_bytes_max) std::abort();
  return 0;
}
