// Sets of Unicode characters, and how expressions spell them: as UTF-8, or within a JSON string.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/grammar/grammar.h"

namespace brisk {

struct CodePointRange {
  uint32_t low = 0;
  uint32_t high = 0;
};

// Unicode scalar values: surrogates are none.
class CodePointSet {
 public:
  static CodePointSet all() { return CodePointSet().complement(); }

  void add(uint32_t low, uint32_t high) { ranges_.push_back({low, high}); }
  void add(uint32_t one) { add(one, one); }
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  CodePointSet without(const CodePointSet& other) const;

  // Sorted, apart, without surrogates.
  std::vector<CodePointRange> ranges() const;

 private:
  std::vector<CodePointRange> ranges_;
};

// Takes a character off `text`; nothing when it does not begin with UTF-8.
std::optional<uint32_t> take_code_point(std::string_view* text);
std::string utf8_of(uint32_t code_point);

// One character of the set in UTF-8.
ExprId utf8_expr(const CodePointSet& set, Grammar* grammar);

// One character of the set as it stands in a JSON string: as it is where JSON allows that, else
// with its shortest escape.
ExprId json_char_expr(const CodePointSet& set, Grammar* grammar);

// `text` within a JSON string, spelled as json_char_expr does.
std::string json_spelling(std::string_view text);

}  // namespace brisk
