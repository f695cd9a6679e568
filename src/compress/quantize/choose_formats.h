// What each tensor of a checkpoint will be stored as.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <string>

#include "compress/edit/matrix_format.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {

using TensorFormats = absl::flat_hash_map<const Tensor*, MatrixFormat>;

// Whether a checkpoint named `out`, whose end says what kind of file it is, can hold `scheme`.
// Errors: InvalidArgument with what it can hold.
absl::Status check_container(const std::string& scheme, const std::string& out);

// `scheme`: a FormatChoice or a scaled_scheme. The source outlives the result. Errors:
// InvalidArgument for schemes that are unknown or that no matrix has the rows for; Unimplemented
// for matrices that are stored transposed.
absl::StatusOr<TensorFormats> choose_formats(const Checkpoint& source, const std::string& scheme,
                                             const std::string& out);

}  // namespace brisk
