// What a request says about the form of its answer: OpenAI's response_format, vLLM's
// structured_outputs and the guided_* fields before them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/grammar/grammar_source.h"
#include "serve/api/json_fields.h"

namespace brisk::api {

struct StructuredOutput {
  GrammarSource source;
  std::string param;  // the field that asks for it
};

// Nothing: any text will do. `body` is what `fields` were parsed from; the order of the keys in it
// counts. Faults go to `fields`.
std::optional<StructuredOutput> read_structured_output(Fields& fields, std::string_view body);

}  // namespace brisk::api
