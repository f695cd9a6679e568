// Streams the tensors of a checkpoint into a file whose header is already written: one after the
// other, in pieces of any size, so that memory stays bounded.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compute/quant/packing.h"
#include "compute/sys/file_writer.h"
#include "compute/tensor/tensor.h"

namespace brisk {

// A tensor that will be written.
struct TensorPlan {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;                     // outermost first
  std::optional<Packing> packing = std::nullopt;  // only GGUF holds packed matrices
};

// Made by create_gguf and create_safetensors. One thread at a time.
class TensorFileWriter {
 public:
  // `sizes`: bytes of each tensor, in order. Each begins at a multiple of `alignment`.
  TensorFileWriter(FileWriter file, std::vector<uint64_t> sizes, uint64_t alignment)
      : file_(std::move(file)), sizes_(std::move(sizes)), alignment_(alignment) {}

  // More bytes of the current tensor; after its last one, the next tensor is current.
  // REQUIRES: no more than the current tensor still lacks.
  absl::Status append(std::span<const std::byte> bytes);

  // Gives the file its name. REQUIRES: every tensor is complete.
  absl::Status finish();

  uint64_t bytes_written() const { return file_.bytes_written(); }

 private:
  absl::Status pad();

  FileWriter file_;
  std::vector<uint64_t> sizes_;
  uint64_t alignment_;
  size_t current_ = 0;
  uint64_t written_ = 0;  // of the current tensor
};

}  // namespace brisk
