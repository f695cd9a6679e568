#include "serve/tools/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "engine/grammar/tool_call_grammar.h"
#include "serve/tools/tool_call_readers.h"

namespace brisk::api {
namespace {

constexpr size_t kNameBytesMax = 64;

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// Bytes at the end of `text` that are the beginning of a character.
size_t open_bytes(std::string_view text) {
  for (size_t n = 1; n <= std::min<size_t>(3, text.size()); ++n) {
    const auto byte = static_cast<unsigned char>(text[text.size() - n]);
    if ((byte & 0xC0) == 0x80) continue;
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > n ? n : 0;
  }
  return 0;
}

}  // namespace

std::unique_ptr<ToolCallParser> ToolCallParser::create(const Options& options) {
  switch (options.syntax) {
    case ToolCallSyntax::kTagged:
      return std::make_unique<TaggedCalls>(options);
    case ToolCallSyntax::kJson:
      return std::make_unique<JsonCalls>(options);
    case ToolCallSyntax::kMistral:
      return std::make_unique<MistralCalls>(options);
    case ToolCallSyntax::kPythonic:
      return std::make_unique<PythonicCalls>(options);
    case ToolCallSyntax::kDeepSeek:
    case ToolCallSyntax::kDeepSeek31:
      return std::make_unique<DeepSeekCalls>(options);
  }
  return nullptr;
}

ToolCallParser::ToolCallParser(const Options& options)
    : tools_(options.tools.begin(), options.tools.end()),
      takes_any_(!tool_call_marker(options.syntax).empty() && !options.only_these) {}

void ToolCallParser::push(std::string_view text) {
  for (const char byte : text) read(byte);
}

void ToolCallParser::finish() {
  release_held();
  if (!is_after_call_) add(AnswerPiece::Kind::kText, space_);
  space_.clear();
  is_finished_ = true;
}

std::vector<AnswerPiece> ToolCallParser::take() {
  std::vector<AnswerPiece> taken = std::exchange(pieces_, {});
  if (taken.empty() || is_finished_) return taken;
  AnswerPiece& last = taken.back();
  if (const size_t open = open_bytes(last.text); open > 0) {
    pieces_.push_back({.kind = last.kind, .text = last.text.substr(last.text.size() - open)});
    last.text.resize(last.text.size() - open);
    if (last.text.empty()) taken.pop_back();
  }
  return taken;
}

ReadResult ToolCallParser::read_json_call(JsonCall& call, char byte) {
  if (!is_announced_) hold(byte);
  const ReadResult result = call.push(byte, *this);
  const bool is_full = held_.size() > kCallBytesHeldMax;
  return result == ReadResult::kMore && is_full ? ReadResult::kWrong : result;
}

void ToolCallParser::add(AnswerPiece::Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (pieces_.empty() || pieces_.back().kind != kind) pieces_.push_back({.kind = kind, .text = {}});
  pieces_.back().text += text;
}

void ToolCallParser::add_text(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) {
    space_ += text;
    return;
  }
  if (is_after_call_) {
    text.remove_prefix(text.find_first_not_of(" \t\r\n"));
    space_.clear();
  }
  add(AnswerPiece::Kind::kText, space_);
  space_ = text.substr(text.find_last_not_of(" \t\r\n") + 1);
  add(AnswerPiece::Kind::kText, text.substr(0, text.size() - space_.size()));
  is_after_call_ = false;
}

bool ToolCallParser::match(std::string_view marker, char byte) {
  held_ += byte;
  while (!marker.starts_with(held_)) {
    add_text(std::string_view(held_).substr(0, 1));
    held_.erase(0, 1);
  }
  return held_ == marker;
}

void ToolCallParser::release_held() { add_text(std::exchange(held_, "")); }

void ToolCallParser::release_held_before(char byte) {
  held_.pop_back();
  release_held();
  read(byte);
}

bool ToolCallParser::announce(std::string_view name) {
  const bool is_known = tools_.contains(name);
  if (calls_ >= kToolCallsMax || !(is_known || (takes_any_ && is_tool_name(name)))) return false;
  ++calls_;
  is_announced_ = true;
  is_after_call_ = true;
  space_.clear();
  drop_held();
  pieces_.push_back({.kind = AnswerPiece::Kind::kCall, .text = std::string(name)});
  return true;
}

void ToolCallParser::add_arguments(std::string_view json) {
  add(AnswerPiece::Kind::kArguments, json);
}

}  // namespace brisk::api
