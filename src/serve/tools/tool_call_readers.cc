#include "serve/tools/tool_call_readers.h"

namespace brisk::api {
namespace {

using Scan = JsonScanner::Result;

constexpr std::string_view kEndTag = "</tool_call>";
constexpr std::string_view kCallBegin = "<｜tool▁call▁begin｜>";
constexpr std::string_view kCallSeparator = "<｜tool▁sep｜>";
constexpr std::string_view kCallEnd = "<｜tool▁call▁end｜>";
constexpr std::string_view kCallsEnd = "<｜tool▁calls▁end｜>";
constexpr size_t kHeadBytesMax = 256;  // before the arguments

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_json_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_json_space(text.back())) text.remove_suffix(1);
  return text;
}

// Goes on looking for `marker` in bytes that mean nothing. True: it is complete.
bool seek(std::string_view marker, char byte, std::string& tail) {
  tail += byte;
  while (!marker.starts_with(tail)) tail.erase(0, 1);
  if (tail != marker) return false;
  tail.clear();
  return true;
}

}  // namespace

TaggedCalls::TaggedCalls(const Options& options) : ToolCallParser(options) {}

void TaggedCalls::read(char byte) {
  switch (state_) {
    case State::kText:
      if (!match(tool_call_marker(ToolCallSyntax::kTagged), byte)) return;
      call_ = JsonCall(false);
      state_ = State::kCall;
      return;
    case State::kCall:
      return read_call(byte);
    case State::kEnd:
      return read_end(byte);
    case State::kBroken:
      if (seek(kEndTag, byte, tail_)) state_ = State::kText;
      return;
  }
}

void TaggedCalls::read_call(char byte) {
  const ReadResult result = read_json_call(call_, byte);
  if (result == ReadResult::kMore) return;
  tail_.clear();
  if (result == ReadResult::kWrong && !is_announced()) {
    state_ = State::kText;
    return release_held_before(byte);
  }
  state_ = result == ReadResult::kDone ? State::kEnd : State::kBroken;
  end_call();
  if (state_ == State::kBroken) read(byte);
}

// White space and the end tag; a model that forgets the tag is understood.
void TaggedCalls::read_end(char byte) {
  if (tail_.empty() && is_json_space(byte)) return;
  tail_ += byte;
  if (kEndTag.starts_with(tail_)) {
    if (tail_ == kEndTag) state_ = State::kText;
    return;
  }
  state_ = State::kText;
  tail_.pop_back();
  for (const char c : tail_) read(c);
  read(byte);
}

JsonCalls::JsonCalls(const Options& options) : ToolCallParser(options) {}

void JsonCalls::read(char byte) {
  switch (state_) {
    case State::kText:
      return add_text({&byte, 1});
    case State::kStart:
    case State::kBetween:
      if (held_bytes() < kHeadBytesMax &&
          (is_json_space(byte) || (state_ == State::kBetween && (byte == ';' || byte == ',')))) {
        return hold(byte);
      }
      state_ = byte == '{' ? State::kCall : State::kText;
      if (state_ == State::kText) release_held();
      call_ = JsonCall(true);
      return read(byte);
    case State::kCall: {
      const ReadResult result = read_json_call(call_, byte);
      if (result == ReadResult::kMore) return;
      if (result == ReadResult::kDone) {
        state_ = State::kBetween;
      } else if (is_announced()) {
        state_ = State::kBroken;
      } else {
        state_ = State::kText;
        release_held();
      }
      return end_call();
    }
    case State::kBroken:
      return;
  }
}

MistralCalls::MistralCalls(const Options& options) : ToolCallParser(options) {}

void MistralCalls::read(char byte) {
  switch (state_) {
    case State::kText:
      if (match(tool_call_marker(ToolCallSyntax::kMistral), byte)) state_ = State::kStart;
      return;
    case State::kStart:
      return read_start(byte);
    case State::kCall:
      return read_call(byte);
    case State::kBetween:
      return read_between(byte);
    case State::kName:
      return read_name(byte);
    case State::kArguments:
      return read_arguments(byte);
    case State::kBroken:
      return;
  }
}

void MistralCalls::read_start(char byte) {
  if (byte != '{') hold(byte);
  if (is_json_space(byte) && held_bytes() < kHeadBytesMax) return;
  if (byte == '[' || byte == '{') {
    call_ = JsonCall(false);
    is_list_ = byte == '[';
    state_ = State::kCall;
    if (byte == '{') read_call(byte);
  } else if (is_name_char(byte)) {
    name_ = byte;
    name_has_ended_ = false;
    state_ = State::kName;
  } else {
    state_ = State::kText;
    release_held_before(byte);
  }
}

void MistralCalls::read_call(char byte) {
  const ReadResult result = read_json_call(call_, byte);
  if (result == ReadResult::kMore) return;
  if (result == ReadResult::kDone) {
    state_ = is_list_ ? State::kBetween : State::kText;
    return end_call();
  }
  state_ = is_announced() ? State::kBroken : State::kText;
  if (!is_announced()) return release_held_before(byte);
  end_call();
}

void MistralCalls::read_between(char byte) {
  if (is_json_space(byte)) return;
  if (byte == ',') {
    hold(byte);
    call_ = JsonCall(false);
    state_ = State::kCall;
    return;
  }
  state_ = State::kText;
  if (byte != ']') read(byte);
}

// name, name[ARGS] or name[CALL_ID]id[ARGS], up to the arguments.
void MistralCalls::read_name(char byte) {
  hold(byte);
  if (byte == '{') {
    if (!announce(name_)) {
      state_ = State::kText;
      return release_held_before(byte);
    }
    arguments_ = {};
    state_ = State::kArguments;
    return read_arguments(byte);
  }
  if (!is_name_char(byte)) name_has_ended_ = true;
  if (!name_has_ended_) name_ += byte;
  if (held_bytes() > kHeadBytesMax) {
    state_ = State::kText;
    release_held_before(byte);
  }
}

void MistralCalls::read_arguments(char byte) {
  const Scan scan = arguments_.push(byte);
  if (scan != Scan::kWrong) add_arguments({&byte, 1});
  if (scan == Scan::kMore) return;
  state_ = scan == Scan::kDone ? State::kText : State::kBroken;
  end_call();
}

PythonicCalls::PythonicCalls(const Options& options) : ToolCallParser(options) {}

void PythonicCalls::read(char byte) {
  switch (state_) {
    case State::kText:
      return add_text({&byte, 1});
    case State::kStart:
      hold(byte);
      if (is_json_space(byte) && held_bytes() < kHeadBytesMax) return;
      state_ = byte == '[' ? State::kName : State::kText;
      if (state_ == State::kText) release_held();
      return;
    case State::kName:
      return read_name(byte);
    case State::kArguments: {
      const ReadResult result = arguments_.push(byte, *this);
      if (result == ReadResult::kMore) return;
      state_ = result == ReadResult::kDone ? State::kBetween : State::kBroken;
      return end_call();
    }
    case State::kBetween:
      if (is_json_space(byte)) return;
      state_ = byte == ',' ? State::kName : State::kText;
      name_.clear();
      if (byte == ',') return hold(byte);
      if (byte != ']') read(byte);
      return;
    case State::kBroken:
      return;
  }
}

void PythonicCalls::read_name(char byte) {
  hold(byte);
  if (byte == '(' && announce(name_)) {
    arguments_ = {};
    name_.clear();
    state_ = State::kArguments;
  } else if (byte == ']' && name_.empty() && calls() > 0) {
    drop_held();
    state_ = State::kText;
  } else if (is_name_char(byte) && held_bytes() <= kHeadBytesMax) {
    name_ += byte;
  } else if (!is_json_space(byte) || !name_.empty() || held_bytes() > kHeadBytesMax) {
    state_ = State::kText;
    release_held();
  }
}

DeepSeekCalls::DeepSeekCalls(const Options& options) : ToolCallParser(options) {}

void DeepSeekCalls::read(char byte) {
  switch (state_) {
    case State::kText:
      if (match(tool_call_marker(ToolCallSyntax::kDeepSeek), byte)) state_ = State::kBetween;
      return;
    case State::kBetween:
      return read_between(byte);
    case State::kHead:
      return read_head(byte);
    case State::kArguments:
      return read_arguments(byte);
    case State::kEnd:
      if (seek(kCallEnd, byte, tail_)) state_ = State::kBetween;
      return;
  }
}

void DeepSeekCalls::read_between(char byte) {
  hold(byte);
  if (tail_.empty() && is_json_space(byte) && held_bytes() < kHeadBytesMax) return;
  tail_ += byte;
  if (tail_ == kCallBegin) {
    head_.clear();
    state_ = State::kHead;
  } else if (tail_ == kCallsEnd) {
    drop_held();
    state_ = State::kText;
  } else if (kCallBegin.starts_with(tail_) || kCallsEnd.starts_with(tail_)) {
    return;
  } else {
    state_ = State::kText;
    release_held_before(byte);
  }
  tail_.clear();
}

// function<｜tool▁sep｜>name\n```json\n, or name<｜tool▁sep｜>; a model may forget the line breaks.
void DeepSeekCalls::read_head(char byte) {
  hold(byte);
  head_ += byte;
  const size_t separator = head_.find(kCallSeparator);
  if (byte == '{' && separator != std::string::npos) {
    const std::string_view head = head_;
    const std::string_view first = trimmed(head.substr(0, separator));
    std::string_view rest = head.substr(separator + kCallSeparator.size());
    rest = trimmed(rest.substr(0, rest.size() - 1));
    const std::string_view name =
        rest.empty() ? first : trimmed(rest.substr(0, rest.find_first_of("\n`")));
    if (announce(name)) {
      arguments_ = {};
      state_ = State::kArguments;
      return read_arguments(byte);
    }
  } else if (head_.size() <= kHeadBytesMax) {
    return;
  }
  state_ = State::kText;
  release_held_before(byte);
}

void DeepSeekCalls::read_arguments(char byte) {
  const Scan scan = arguments_.push(byte);
  if (scan != Scan::kWrong) add_arguments({&byte, 1});
  if (scan == Scan::kMore) return;
  state_ = State::kEnd;
  end_call();
  if (scan == Scan::kWrong) read(byte);
}

}  // namespace brisk::api
