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
  // `name`: an element format that brisk can encode ("f16", "q4_0", ...) or one of the mixes
  // "q4_k_m" and "ternary". "q2_k" is a mix as well: embedding and head have more bits.
  // Errors: InvalidArgument with the names that exist.
  static absl::StatusOr<FormatChoice> parse(std::string_view name);

  // The format of `tensor` (by its GGUF name) in a model of `layers` layers. Vectors and the router
  // of experts are f32. Rows that do not fill the format's blocks get one with smaller blocks.
  DType of(const TensorPlan& tensor, int64_t layers, bool tied) const;

  // Of most matrices, where their rows fill its blocks.
  DType matrices() const { return dtype_; }
  bool is_below_four_bits() const;

  // llama.cpp's number for the format of most of a file (general.file_type).
  uint32_t file_type() const;

 private:
  using Mix = DType (*)(std::string_view name, int64_t layers, bool tied);

  FormatChoice(std::string_view name, Mix mix, DType dtype)
      : name_(name), mix_(mix), dtype_(dtype) {}

  std::string name_;
  Mix mix_;  // of tensors by their GGUF names; null: all are dtype_
  DType dtype_;
};

// "f32, f16, ..., q4_k_m, ternary".
std::string format_choices();

}  // namespace brisk
