// Answers that call tools: texts in which each call stands between fixed words and has arguments
// that are valid against the tool's schema.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/grammar/grammar.h"

namespace brisk {

inline constexpr size_t kToolsMax = 128;
inline constexpr int kToolCallsMax = 64;  // in one answer

// One tool. Line breaks in fixed words may be left out.
struct ToolCallForm {
  std::string name{};    // for errors
  std::string begin{};   // before the arguments: {"name": "f", "arguments":
  std::string schema{};  // of the arguments, as JSON; empty: any object
  std::string end{};     // after them: }

  friend bool operator==(const ToolCallForm&, const ToolCallForm&) = default;
  template <class H>
  friend H AbslHashValue(H hash, const ToolCallForm& form) {
    return H::combine(std::move(hash), form.name, form.begin, form.schema, form.end);
  }
};

struct ToolCallForms {
  // What an answer may be beside calls.
  enum class Text : uint8_t {
    kNone,
    kWithout,       // text in which `marker` does not occur, also before the calls
    kNotBeginning,  // text that does not begin with `marker`, instead of calls
    kSchema,        // JSON of `text_schema` (empty: any object), instead of calls
  };

  std::vector<ToolCallForm> tools{};  // one or more
  bool keywords = false;              // arguments as in Python: a=1, b="x"
  std::string first{};                // before the first call: [
  std::string between{};
  std::string last{};
  int calls_max = 1;  // at least 1
  Text text = Text::kNone;
  std::string marker{};
  std::string text_schema{};

  friend bool operator==(const ToolCallForms&, const ToolCallForms&) = default;
  template <class H>
  friend H AbslHashValue(H hash, const ToolCallForms& forms) {
    return H::combine(std::move(hash), forms.tools, forms.keywords, forms.first, forms.between,
                      forms.last, forms.calls_max, forms.text, forms.marker, forms.text_schema);
  }
};

// Errors: InvalidArgument, with the place in the schema and its keyword.
absl::StatusOr<Grammar> tool_call_grammar(const ToolCallForms& forms);

}  // namespace brisk
