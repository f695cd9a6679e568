// A running {% for %}: its items, and what `loop` tells about them.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "model/template/ast.h"
#include "model/template/interpreter.h"
#include "model/template/scope.h"

namespace brisk::jinja {

// The filter of `for x in xs if filter` is evaluated no earlier than Jinja does it: when the item
// is needed, one ahead at most, or all at once for the length. So a body can change what it says.
class LoopObject final : public Object {
 public:
  // `interpreter` and `loop` must outlive this; `outer` is the scope around the loop.
  LoopObject(Interpreter& interpreter, const For& loop, std::shared_ptr<const Sequence> source,
             std::shared_ptr<Scope> outer, int depth)
      : interpreter_(interpreter),
        loop_(loop),
        source_(std::move(source)),
        outer_(std::move(outer)),
        depth_(depth) {}

  // Moves on. False at the end.
  absl::StatusOr<bool> next();
  // REQUIRES: next() said true.
  const Value& current() const { return current_; }

  // Lets go of the items; the object itself stays until the render ends.
  void finish();

  std::string_view type_name() const override { return "jinja2.runtime.LoopContext"; }
  absl::StatusOr<std::optional<Value>> attribute(Runtime& runtime, std::string_view name) override;
  bool callable() const override { return true; }
  absl::StatusOr<Value> call(Runtime& runtime, const Arguments& arguments) override;

  // loop.cycle(a, b, ...) and loop.changed(value, ...)
  absl::StatusOr<Value> cycle(const Arguments& arguments) const;
  absl::StatusOr<Value> changed(Runtime& runtime, const Arguments& arguments);

 private:
  absl::StatusOr<std::optional<Value>> pull();  // the next item that the filter lets through
  absl::StatusOr<std::optional<Value>> peek();
  absl::StatusOr<int64_t> length();

  Interpreter& interpreter_;
  const For& loop_;
  std::shared_ptr<const Sequence> source_;
  std::shared_ptr<Scope> outer_;
  const int depth_;

  size_t taken_ = 0;             // of source_
  std::vector<Value> filtered_;  // found by length(), not yet walked
  size_t filtered_taken_ = 0;
  std::optional<int64_t> length_;
  int64_t index_ = -1;
  Value previous_, current_;
  std::optional<std::optional<Value>> peeked_;  // looked at ahead; inside nothing: the end
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace brisk::jinja
