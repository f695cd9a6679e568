// One render's account: what it may still spend, and the objects that live until it ends.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/civil_time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/template/limits.h"
#include "model/template/value.h"

namespace brisk::jinja {

// One thread only. Every loop over items or bytes that a template can drive pays here.
class Runtime {
 public:
  Runtime(const TemplateLimits& limits, absl::CivilSecond now)
      : limits_(limits),
        now_(now),
        steps_left_(limits.steps_max),
        bytes_left_(limits.value_bytes_max) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Errors of both: ResourceExhausted.
  absl::Status spend_steps(size_t steps);
  absl::Status spend_bytes(size_t bytes);  // of new values; touching them costs steps as well

  // Values paid for. Errors: ResourceExhausted; InvalidArgument when nested too deeply.
  absl::StatusOr<Value> text(std::string text);
  absl::StatusOr<Value> sequence(SequenceKind kind, std::vector<Value> items);
  absl::StatusOr<Value> dict(std::vector<std::pair<Value, Value>> entries);

  // Keeps `object` until the render ends.
  template <class T>
  absl::StatusOr<T*> adopt(std::unique_ptr<T> object) {
    if (absl::Status paid = spend_bytes(kObjectBytes); !paid.ok()) return paid;
    T* raw = object.get();
    objects_.push_back(std::move(object));
    return raw;
  }

  // Evaluation goes one level deeper; every enter() that succeeds is followed by one leave().
  absl::Status enter();
  void leave() { --depth_; }

  // The line of the template that is being evaluated.
  int line = 1;

  const TemplateLimits& limits() const { return limits_; }
  absl::CivilSecond now() const { return now_; }

 private:
  static constexpr size_t kObjectBytes = 256;

  const TemplateLimits limits_;
  const absl::CivilSecond now_;
  size_t steps_left_;
  size_t bytes_left_;
  int depth_ = 0;
  std::vector<std::unique_ptr<Object>> objects_;
};

// Builds a text under the runtime's limits.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime, size_t bytes_max = SIZE_MAX)
      : runtime_(runtime), bytes_max_(bytes_max) {}

  absl::Status append(std::string_view piece);
  absl::Status append_repeated(std::string_view piece, size_t times);

  Runtime& runtime() { return runtime_; }
  std::string& text() { return text_; }
  Value finish() { return Value(std::move(text_)); }

 private:
  absl::Status make_room(size_t bytes);

  Runtime& runtime_;
  const size_t bytes_max_;
  std::string text_;
};

}  // namespace brisk::jinja
