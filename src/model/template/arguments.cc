#include "model/template/arguments.h"

#include <algorithm>

#include "base/status.h"
#include "model/template/number.h"
#include "model/template/operators.h"

namespace brisk::jinja {

absl::StatusOr<BoundArguments> BoundArguments::bind(
    std::string_view function, const Arguments& arguments,
    std::initializer_list<std::string_view> parameters, size_t required) {
  BoundArguments bound(function);
  bound.values_.assign(parameters.size(), nullptr);
  if (arguments.positional.size() > parameters.size()) {
    return invalid_input("{}() takes at most {} argument(s), {} given", function, parameters.size(),
                         arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound.values_[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    const auto* found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      return invalid_input("{}() got an unexpected keyword argument '{}'", function, name);
    }
    const Value*& slot = bound.values_[static_cast<size_t>(found - parameters.begin())];
    if (slot != nullptr) {
      return invalid_input("{}() got multiple values for argument '{}'", function, name);
    }
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound.values_[i] != nullptr) continue;
    return invalid_input("{}() is missing the argument '{}'", function, parameters.begin()[i]);
  }
  return bound;
}

absl::StatusOr<int64_t> BoundArguments::integer(size_t parameter, int64_t fallback) const {
  if (!given(parameter)) return fallback;
  const Value& value = *values_[parameter];
  const auto number = number_of(value);
  if (number && !number->is_float) return number->integer;
  if (value.is_undefined()) return undefined_error(value);
  return invalid_input("{}(): an integer is required, not '{}'", function_, value.type_name());
}

absl::StatusOr<std::string_view> BoundArguments::text(size_t parameter,
                                                      std::string_view fallback) const {
  if (!given(parameter)) return fallback;
  const Value& value = *values_[parameter];
  if (value.is_text()) return value.text();
  return invalid_input("{}(): a str is required, not '{}'", function_, value.type_name());
}

bool BoundArguments::flag(size_t parameter, bool fallback) const {
  return values_[parameter] == nullptr ? fallback : values_[parameter]->truthy();
}

}  // namespace brisk::jinja
