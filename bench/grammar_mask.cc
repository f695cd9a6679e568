// What structured output costs a token: the time to find the mask of the next one, median and
// worst, cold (states seen for the first time) and warm.
//   grammar_mask [TOKENIZER...]   and a synthetic vocabulary of 128k tokens
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "engine/grammar/compiled_grammar.h"
#include "engine/grammar/grammar_source.h"
#include "model/tokenizer/read_tokenizer.h"
#include "model/tokenizer/tokenizer.h"

namespace brisk {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

// Words of letters with and without a space before them, numbers, runs of marks, and all bytes.
std::vector<std::string> synthetic_tokens(size_t count) {
  std::mt19937 random(1);
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  const std::string marks = "{}[]\":,. -_\\/\n";
  while (tokens.size() < count) {
    std::string token = random() % 2 == 0 ? " " : "";
    const bool is_marks = random() % 20 == 0;
    for (size_t i = 1 + random() % 8; i > 0; --i) {
      token += is_marks ? marks[random() % marks.size()] : static_cast<char>('a' + random() % 26);
    }
    if (random() % 16 == 0) token += marks[random() % marks.size()];
    tokens.push_back(token);
  }
  return tokens;
}

struct Case {
  const char* name;
  GrammarSource source;
};

std::vector<Case> cases() {
  using Kind = GrammarSource::Kind;
  return {
      {"any JSON object", {.kind = Kind::kJsonObject}},
      {"schema of a person",
       {.kind = Kind::kJsonSchema,
        .text = R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer",
        "minimum":0,"maximum":130},"email":{"type":"string","format":"email"},"tags":{"type":"array",
        "items":{"type":"string","maxLength":20}},"address":{"type":"object","properties":{"street":
        {"type":"string"},"zip":{"type":"string","pattern":"^[0-9]{5}$"}},"required":["street","zip"]}},
        "required":["name","age","tags","address"],"additionalProperties":false})"}},
      {"recursive schema",
       {.kind = Kind::kJsonSchema,
        .text = R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"string"},"c":{"type":
        "array","items":{"$ref":"#/$defs/n"}}},"required":["v","c"]}},"$ref":"#/$defs/n"})"}},
      {"expressions",
       {.kind = Kind::kGbnf,
        .text = "root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [a-z]+ | [0-9]+ | "
                "\"(\" expr \")\"\n"}},
      {"regex", {.kind = Kind::kRegex, .text = "([A-Z][a-z]+ ){2,5}[0-9]{3}-[0-9]{4}"}},
  };
}

// The times of one answer's masks; and of taking the tokens.
void draw_answer(const std::shared_ptr<const CompiledGrammar>& grammar, uint32_t seed,
                 std::vector<double>* masks, std::vector<double>* accepts) {
  std::mt19937 random(seed);
  GrammarMatcher matcher(grammar);
  std::vector<uint64_t> mask(mask_words(grammar->vocabulary().vocab_size()));
  for (int step = 0; step < 120 && !matcher.must_end(); ++step) {
    const auto begin = Clock::now();
    if (!matcher.mask(mask).ok()) return;
    masks->push_back(microseconds_since(begin));
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < grammar->vocabulary().vocab_size(); ++token) {
      if (mask_has(mask, token)) allowed.push_back(token);
    }
    if (allowed.empty()) return;
    int32_t token = allowed[random() % allowed.size()];
    for (const char* closing : {"\"", "}", "]", "(", ")"}) {
      for (const int32_t one : allowed) {
        if (random() % 8 == 0 && grammar->vocabulary().bytes_of(one) == closing) token = one;
      }
    }
    const auto before = Clock::now();
    if (!matcher.accept(token).ok()) return;
    accepts->push_back(microseconds_since(before));
  }
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

void measure(const std::string& name, std::vector<std::string> tokens) {
  const auto begin = Clock::now();
  const auto vocabulary = std::make_shared<const TokenTrie>(std::move(tokens));
  fmt::print("{}: {} tokens, {} nodes, trie built in {:.0f} ms\n", name, vocabulary->vocab_size(),
             vocabulary->node_count(), microseconds_since(begin) / 1e3);
  for (const Case& one : cases()) {
    const auto before = Clock::now();
    const auto grammar = compile_grammar(read_grammar(one.source).value(), vocabulary).value();
    const double compile_ms = microseconds_since(before) / 1e3;
    std::vector<double> cold, warm, accepts;
    for (uint32_t seed = 0; seed < 20; ++seed) draw_answer(grammar, seed, &cold, &accepts);
    accepts.clear();
    for (uint32_t seed = 0; seed < 20; ++seed) draw_answer(grammar, seed, &warm, &accepts);
    fmt::print(
        "  {:20} {:5} states, compiled in {:6.1f} ms | mask us: warm median {:6.1f}, 99 % {:6.1f}; "
        "while warming median {:6.1f}, 99 % {:7.0f}, most {:7.0f} | accept us {:5.2f}\n",
        one.name, grammar->automaton().states(), compile_ms, quantile(warm, 0.5),
        quantile(warm, 0.99), quantile(cold, 0.5), quantile(cold, 0.99), quantile(cold, 1),
        quantile(accepts, 0.5));
  }
}

int run(int argc, char** argv) {
  measure("synthetic", synthetic_tokens(128 * 1024));
  for (int i = 1; i < argc; ++i) {
    auto data = read_tokenizer(argv[i]);
    if (!data.ok()) {
      fmt::print(stderr, "{}: {}\n", argv[i], data.status().ToString());
      return 1;
    }
    const auto tokenizer = Tokenizer::create(std::move(*data)).value();
    std::vector<std::string> tokens;
    for (int32_t token = 0; token < tokenizer->vocab_size(); ++token) {
      tokens.push_back(tokenizer->decode_token(token, false));
    }
    measure(argv[i], std::move(tokens));
  }
  return 0;
}

}  // namespace
}  // namespace brisk

int main(int argc, char** argv) { return brisk::run(argc, argv); }
