#include "model/template/runtime.h"

#include <algorithm>

#include "base/status.h"

namespace brisk::jinja {
namespace {

constexpr size_t kBytesPerStep = 64;

absl::Status check_depth(int depth) {
  if (depth <= kValueDepthMax) return absl::OkStatus();
  return invalid_input("lists and dicts are nested deeper than {}", kValueDepthMax);
}

}  // namespace

absl::Status Runtime::spend_steps(size_t steps) {
  if (steps <= steps_left_) {
    steps_left_ -= steps;
    return absl::OkStatus();
  }
  steps_left_ = 0;
  return exhausted("the template takes more than {} steps", limits_.steps_max);
}

absl::Status Runtime::spend_bytes(size_t bytes) {
  if (bytes > bytes_left_) {
    bytes_left_ = 0;
    return exhausted("the template makes more than {} bytes of values", limits_.value_bytes_max);
  }
  bytes_left_ -= bytes;
  return spend_steps(bytes / kBytesPerStep);
}

absl::StatusOr<Value> Runtime::text(std::string text) {
  BRISK_RETURN_IF_ERROR(spend_bytes(text.size()));
  return Value(std::move(text));
}

absl::StatusOr<Value> Runtime::sequence(SequenceKind kind, std::vector<Value> items) {
  BRISK_RETURN_IF_ERROR(spend_bytes(sizeof(Sequence) + items.size() * sizeof(Value)));
  int depth = 1;
  bool hashable = kind != SequenceKind::kList;
  for (const Value& item : items) {
    depth = std::max(depth, item.depth() + 1);
    hashable &= item.hashable();
  }
  BRISK_RETURN_IF_ERROR(check_depth(depth));
  return Value(std::make_shared<const Sequence>(
      Sequence{.kind = kind, .items = std::move(items), .depth = depth, .hashable = hashable}));
}

absl::StatusOr<Value> Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  BRISK_RETURN_IF_ERROR(spend_bytes(sizeof(Dict) + entries.size() * 2 * sizeof(Value)));
  int depth = 1;
  for (const auto& [key, value] : entries) {
    depth = std::max({depth, key.depth() + 1, value.depth() + 1});
  }
  BRISK_RETURN_IF_ERROR(check_depth(depth));
  return Value(std::make_shared<const Dict>(Dict{.entries = std::move(entries), .depth = depth}));
}

absl::Status Runtime::enter() {
  if (depth_ >= limits_.depth_max) {
    return exhausted("evaluation is nested deeper than {}", limits_.depth_max);
  }
  BRISK_RETURN_IF_ERROR(spend_steps(1));
  ++depth_;
  return absl::OkStatus();
}

absl::Status TextBuilder::make_room(size_t bytes) {
  if (bytes > bytes_max_ - text_.size()) {
    return exhausted("the output is longer than {} bytes", bytes_max_);
  }
  return runtime_.spend_bytes(bytes);
}

absl::Status TextBuilder::append(std::string_view piece) {
  BRISK_RETURN_IF_ERROR(make_room(piece.size()));
  text_.append(piece);
  return absl::OkStatus();
}

absl::Status TextBuilder::append_repeated(std::string_view piece, size_t times) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(piece.size(), times, &bytes)) bytes = SIZE_MAX;
  BRISK_RETURN_IF_ERROR(make_room(bytes));
  text_.reserve(text_.size() + bytes);
  for (size_t i = 0; bytes > 0 && i < times; ++i) text_.append(piece);
  return absl::OkStatus();
}

}  // namespace brisk::jinja
