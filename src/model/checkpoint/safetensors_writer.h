// Writes safetensors files.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <string>
#include <vector>

#include "model/checkpoint/tensor_file_writer.h"

namespace brisk {

// Writes the header, with the metadata that transformers expects and `metadata`; the tensors' data
// follows through the writer, in the order given. Errors: InvalidArgument for formats that
// safetensors has not and for names that appear twice, Unavailable when the file cannot be written.
absl::StatusOr<TensorFileWriter> create_safetensors(
    const std::string& path, const std::vector<TensorPlan>& tensors,
    const std::map<std::string, std::string>& metadata = {});

}  // namespace brisk
