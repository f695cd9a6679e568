// multipart/form-data (RFC 7578), as uploads of files come.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace brisk::batch {

struct FormPart {
  std::string name{};
  std::string filename{};      // empty: a plain field
  std::string_view content{};  // within the body
};

// Errors: InvalidArgument (not such a body, more than 16 parts, a part without a name).
absl::StatusOr<std::vector<FormPart>> parse_multipart(std::string_view body,
                                                      std::string_view content_type);

}  // namespace brisk::batch
