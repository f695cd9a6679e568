// Grammars of every kind: whatever the text, it is refused or compiles within the limits; and then
// whatever is drawn under its masks, the masks and the matcher agree. The first byte is the kind,
// the second how many of the last bytes choose tokens.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar/compiled_grammar.h"
#include "engine/grammar/grammar_source.h"

namespace {

std::shared_ptr<const brisk::TokenTrie> vocabulary() {
  static const auto kTrie = [] {
    std::vector<std::string> tokens{""};
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    for (const char* piece : {"{\"", "\":", "}]", "ab", "aa", "12", "é", "\\u00", "\"}", "]]"}) {
      tokens.emplace_back(piece);
    }
    return std::make_shared<const brisk::TokenTrie>(std::move(tokens));
  }();
  return kTrie;
}

void draw(const std::shared_ptr<const brisk::CompiledGrammar>& grammar, std::string_view choices) {
  brisk::GrammarMatcher matcher(grammar);
  const int32_t size = vocabulary()->vocab_size();
  std::vector<uint64_t> mask(brisk::mask_words(size));
  for (const char choice : choices) {
    if (!matcher.mask(mask).ok()) return;  // too ambiguous
    std::vector<int32_t> allowed;
    for (int32_t token = 0; token < size; ++token) {
      if (brisk::mask_has(mask, token)) allowed.push_back(token);
    }
    if (allowed.empty()) {
      // Every byte is a token: only at the end nothing may follow.
      if (!matcher.must_end()) std::abort();
      return;
    }
    const auto status = matcher.accept(allowed[static_cast<uint8_t>(choice) % allowed.size()]);
    if (absl::IsInvalidArgument(status)) std::abort();
    if (!status.ok()) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string_view choices =
      rest.substr(rest.size() - std::min<size_t>(data[1], rest.size()));
  const std::string_view text = rest.substr(0, rest.size() - choices.size());
  using Kind = brisk::GrammarSource::Kind;
  constexpr Kind kKinds[] = {Kind::kJsonSchema, Kind::kRegex, Kind::kGbnf};
  const auto grammar =
      brisk::read_grammar({.kind = kKinds[data[0] % 3], .text = std::string(text), .choices = {}});
  if (!grammar.ok()) return 0;
  const auto compiled = brisk::compile_grammar(*grammar, vocabulary());
  if (compiled.ok()) draw(*compiled, choices);
  return 0;
}
