#include "serve/tools/json_call.h"

#include <utility>

#include "base/json.h"

namespace brisk::api {
namespace {

using Scan = JsonScanner::Result;

// The text of a JSON string; empty when it is none after all.
std::string unquoted(const std::string& quoted) {
  const absl::StatusOr<Json> json = parse_json(quoted);
  return json.ok() && json->is_string() ? json->get<std::string>() : "";
}

}  // namespace

ReadResult JsonCall::push(char byte, CallSink& sink) {
  if (state_ == State::kInValue) return in_value(byte, sink);
  if (state_ == State::kInKey) {
    token_ += byte;
    const Scan scan = scanner_.push(byte);
    if (scan == Scan::kDone) {
      const std::string key = unquoted(token_);
      role_ = key == "name"                               ? Role::kName
              : key == "arguments" || key == "parameters" ? Role::kArguments
                                                          : Role::kOther;
      state_ = State::kColon;
    }
    const bool is_right = scan != Scan::kWrong && token_.size() <= kCallBytesHeldMax;
    return is_right ? ReadResult::kMore : ReadResult::kWrong;
  }
  if (is_json_space(byte)) return ReadResult::kMore;
  switch (state_) {
    case State::kStart:
      state_ = State::kFirstKey;
      return byte == '{' ? ReadResult::kMore : ReadResult::kWrong;
    case State::kFirstKey:
    case State::kKey:
      if (byte != '"') return ReadResult::kWrong;
      scanner_ = {};
      scanner_.push(byte);
      token_ = byte;
      state_ = State::kInKey;
      return ReadResult::kMore;
    case State::kColon:
      state_ = State::kValue;
      return byte == ':' ? ReadResult::kMore : ReadResult::kWrong;
    case State::kAfter:
      if (byte == '}') return end(sink);
      state_ = State::kKey;
      return byte == ',' ? ReadResult::kMore : ReadResult::kWrong;
    default:
      return begin_value(byte, sink);
  }
}

ReadResult JsonCall::begin_value(char byte, CallSink& sink) {
  scanner_ = {};
  token_.clear();
  state_ = State::kInValue;
  if (role_ == Role::kName && (byte != '"' || !name_.empty())) return ReadResult::kWrong;
  if (role_ == Role::kArguments) {
    if (has_arguments_ || (byte != '{' && byte != '"')) return ReadResult::kWrong;
    has_arguments_ = true;
    is_quoted_ = byte == '"';
  }
  return in_value(byte, sink);
}

ReadResult JsonCall::in_value(char byte, CallSink& sink) {
  const Scan scan = scanner_.push(byte);
  if (scan == Scan::kWrong) return ReadResult::kWrong;
  if (scan != Scan::kDoneBefore) {
    const bool is_streamed = role_ == Role::kArguments && !is_quoted_;
    if (is_streamed) arguments_ += byte;
    if (!is_streamed && role_ != Role::kOther) token_ += byte;
    if (token_.size() + arguments_.size() > kCallBytesHeldMax) return ReadResult::kWrong;
    if (is_streamed && !name_.empty() && !say(sink)) return ReadResult::kWrong;
    if (scan == Scan::kMore) return ReadResult::kMore;
  }
  state_ = State::kAfter;
  if (!end_value(sink)) return ReadResult::kWrong;
  return scan == Scan::kDoneBefore ? push(byte, sink) : ReadResult::kMore;
}

// Announces the call when its name and something of its arguments are known.
bool JsonCall::say(CallSink& sink) {
  if (!is_announced_ && !sink.announce(name_)) return false;
  is_announced_ = true;
  sink.add_arguments(std::exchange(arguments_, ""));
  return true;
}

bool JsonCall::end_value(CallSink& sink) {
  if (role_ == Role::kName) {
    name_ = unquoted(token_);
    if (name_.empty()) return false;
  }
  if (role_ == Role::kArguments && is_quoted_) {
    arguments_ = unquoted(token_);
    const absl::StatusOr<Json> json = parse_json(arguments_);
    if (!json.ok() || !json->is_object()) return false;
  }
  token_.clear();
  return name_.empty() || arguments_.empty() || say(sink);
}

ReadResult JsonCall::end(CallSink& sink) {
  if (name_.empty() || (needs_arguments_ && !has_arguments_)) return ReadResult::kWrong;
  if (!has_arguments_) arguments_ = "{}";
  if (!is_announced_ || !arguments_.empty()) {
    if (!say(sink)) return ReadResult::kWrong;
  }
  return ReadResult::kDone;
}

}  // namespace brisk::api
