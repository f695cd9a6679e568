// The texts that a model is looked at with while it is compressed.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "compress/evaluate/documents.h"
#include "model/model.h"

namespace brisk {

struct CalibrationOptions {
  int64_t windows_max = 64;
  int64_t window_tokens = 512;  // at most; the model's context is a limit too
};

using TokenWindows = std::vector<std::vector<int32_t>>;

// Windows spread evenly over the documents, which follow each other with the model's BOS token
// between them; every window begins with that where the model has one. A pure function of its
// arguments. Errors: InvalidArgument when the model has no tokenizer, when its tokenizer is of
// another model, and when there is not one token.
absl::StatusOr<TokenWindows> calibration_windows(const Model& model,
                                                 const std::vector<Document>& documents,
                                                 const CalibrationOptions& options);

int64_t token_count(const TokenWindows& windows);

}  // namespace brisk
