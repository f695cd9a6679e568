// `namespace(...)`: the one value that templates can change.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "model/template/runtime.h"
#include "model/template/value.h"

namespace brisk::jinja {

class Namespace final : public Object {
 public:
  std::string_view type_name() const override { return "jinja2.utils.Namespace"; }
  absl::StatusOr<std::optional<Value>> attribute(Runtime& runtime, std::string_view name) override;
  bool callable() const override { return false; }
  absl::StatusOr<Value> call(Runtime& runtime, const Arguments& arguments) override;

  absl::Status set(Runtime& runtime, std::string_view name, Value value);
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<Value, Value>> entries_;  // name -> value, in the order of first setting
};

}  // namespace brisk::jinja
