// The model that ships with brisk, for those who name none.
#pragma once

#include <absl/status/statusor.h>

#include <string>

namespace brisk {

// Where brisk-small lies: as BRISK_MODEL says, beside the program (models/), in the prefix it is
// installed to (share/brisk/models/), or in the source tree it was built in.
// Errors: NotFound, with the places that were looked at.
absl::StatusOr<std::string> default_model();

// `model`, or the default one when it is empty.
absl::StatusOr<std::string> model_or_default(const std::string& model);

}  // namespace brisk
