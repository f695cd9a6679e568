// From a template's source to its tree: Jinja's grammar with the loop-control extension and
// {% generation %}.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string_view>

#include "model/template/ast.h"
#include "model/template/limits.h"

namespace brisk::jinja {

// Errors: InvalidArgument with the line and what was wrong there; Unimplemented for tags that read
// other templates. REQUIRES: `source` is UTF-8.
absl::StatusOr<std::unique_ptr<const Template>> parse_template(std::string_view source,
                                                               const TemplateLimits& limits);

}  // namespace brisk::jinja
