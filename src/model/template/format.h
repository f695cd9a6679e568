// Python's two ways of formatting: "%s" % value and "{}".format(value).
#pragma once

#include <absl/status/statusor.h>

#include "model/template/runtime.h"
#include "model/template/value.h"

namespace brisk::jinja {

// `values` is a tuple of values, a dict for %(name)s, or one value. REQUIRES: format is a text.
absl::StatusOr<Value> percent_format(Runtime& runtime, const Value& format, const Value& values);

// Fields are {}, {0}, {name}, {name.attribute}, {name[key]}, with !s, !r and a format spec.
// REQUIRES: format is a text.
absl::StatusOr<Value> brace_format(Runtime& runtime, const Value& format,
                                   const Arguments& arguments);

}  // namespace brisk::jinja
