// Which element format each tensor of a written checkpoint gets: one for all matrices, or a mix.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "model/checkpoint/tensor_file_writer.h"

namespace brisk {

class FormatChoice {
 public:
  // `name`: an element format that brisk can encode ("f16", "q4_0", ...) or the mix "q4_k_m".
  // Errors: InvalidArgument with the names that exist.
  static absl::StatusOr<FormatChoice> parse(std::string_view name);

  // The format of `tensor` (by its GGUF name) in a model of `layers` layers. Vectors and the router
  // of experts are f32. Rows that do not fill the format's blocks get one with smaller blocks.
  DType of(const TensorPlan& tensor, int64_t layers, bool tied) const;

  // llama.cpp's number for the format of most of a file (general.file_type).
  uint32_t file_type() const;

 private:
  FormatChoice(std::string name, bool mix, DType dtype)
      : name_(std::move(name)), mix_(mix), dtype_(dtype) {}

  std::string name_;
  bool mix_;
  DType dtype_;
};

// "f32, f16, ..., q4_k_m".
std::string format_choices();

}  // namespace brisk
