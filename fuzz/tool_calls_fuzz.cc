// Answers with calls of tools: any bytes, in pieces of any size, give the same text and calls, of
// which there are not too many.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "engine/grammar/tool_call_grammar.h"
#include "tests/serve/tools/answers.h"

namespace {

void must(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const brisk::api::ToolCallParser::Options options{
      .syntax = static_cast<brisk::api::ToolCallSyntax>(data[0] % 6),
      .tools = {"get_weather", "f"}};
  const size_t piece = 1 + data[1] % 31;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const brisk::test::ReadAnswer whole = brisk::test::read_answer(options, text);
  const brisk::test::ReadAnswer cut =
      brisk::test::read_answer(options, text, [&](size_t left) { return std::min(left, piece); });
  must(whole.pieces == cut.pieces);
  must(std::ssize(whole.calls) <= brisk::kToolCallsMax);
  for (const auto& call : whole.calls) must(!call.name.empty());
  return 0;
}
