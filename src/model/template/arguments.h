// The arguments of one call matched with a native function's parameters, as Python matches them.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "model/template/value.h"

namespace brisk::jinja {

class BoundArguments {
 public:
  // The first `required` of `parameters` must be given. Errors: InvalidArgument that names
  // `function` and the argument that is missing, unknown, given twice or too many.
  static absl::StatusOr<BoundArguments> bind(std::string_view function, const Arguments& arguments,
                                             std::initializer_list<std::string_view> parameters,
                                             size_t required);

  // Null when it was not given. REQUIRES: `arguments` lives.
  const Value* operator[](size_t parameter) const { return values_[parameter]; }

  // What an optional parameter says, or `fallback` when it was not given (or, but for flags, is
  // none). Errors: InvalidArgument when it is of another kind.
  absl::StatusOr<int64_t> integer(size_t parameter, int64_t fallback) const;
  absl::StatusOr<std::string_view> text(size_t parameter, std::string_view fallback) const;
  bool flag(size_t parameter, bool fallback) const;

 private:
  explicit BoundArguments(std::string_view function) : function_(function) {}
  bool given(size_t parameter) const {
    return values_[parameter] != nullptr && !values_[parameter]->is_none();
  }

  std::string_view function_;
  std::vector<const Value*> values_;
};

}  // namespace brisk::jinja
