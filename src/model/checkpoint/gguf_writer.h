// Writes GGUF version 3 files.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoint/gguf.h"
#include "model/checkpoint/tensor_file_writer.h"

namespace brisk {

// The key-value pairs of a GGUF header, in the order in which they are added.
class GgufHeader {
 public:
  void text(std::string_view key, std::string_view value);
  void u32(std::string_view key, uint32_t value);
  void f32(std::string_view key, float value);
  void boolean(std::string_view key, bool value);
  void texts(std::string_view key, std::span<const std::string> values);
  void floats(std::string_view key, std::span<const float> values);
  void i32s(std::string_view key, std::span<const int32_t> values);
  void bytes(std::string_view key, std::string_view values);
  // All pairs of a file that was read, as they are, but for those of a part (split.*) and the one
  // of key `except`.
  void copy(const GgufFile& file, std::string_view except = {});
  // Tensors begin at multiples of `bytes`, a power of two, unless a copied file says otherwise.
  void align(uint32_t bytes);

 private:
  friend absl::StatusOr<TensorFileWriter> create_gguf(const std::string& path,
                                                      const GgufHeader& header,
                                                      const std::vector<TensorPlan>& tensors);

  std::string pairs_;
  uint64_t count_ = 0;
  uint64_t alignment_ = 32;  // the format's default
  bool has_alignment_ = false;
};

// Writes the header and the table of tensors; their data follows through the writer.
// Errors: InvalidArgument for tensors that GGUF cannot hold (format, shape), Unavailable when the
// file cannot be written.
absl::StatusOr<TensorFileWriter> create_gguf(const std::string& path, const GgufHeader& header,
                                             const std::vector<TensorPlan>& tensors);

}  // namespace brisk
