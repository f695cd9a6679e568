// The memory of the KV cache: blocks of 16 tokens for every layer, in one mapping that the system
// fills with pages as blocks are first written. Which block belongs to whom is engine/kv's
// business.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "compute/backend/cpu_ops.h"
#include "model/model.h"
#include "model/spec.h"

namespace brisk {

// What a user may ask for. Auto: f32 for f32 weights, bf16 for all others.
enum class KvDType : uint8_t { kAuto, kF32, kF16, kBF16, kInt8, kFp8, kInt4 };
KvElement kv_element_for(const Model& model, KvDType dtype);

// Bytes of one block (kKvBlockTokens tokens, all layers).
int64_t kv_block_bytes(const ModelSpec& spec, KvElement element);

class KvMemory {
 public:
  // Errors: ResourceExhausted when the address space is not to be had.
  static absl::StatusOr<std::unique_ptr<KvMemory>> create(const ModelSpec& spec, KvElement element,
                                                          int64_t blocks);
  ~KvMemory();
  KvMemory(const KvMemory&) = delete;
  KvMemory& operator=(const KvMemory&) = delete;

  KvLayer layer(int64_t index) const;

  // Copies all layers of a block. REQUIRES: nothing reads or writes either meanwhile.
  void copy_block(int32_t from, int32_t to);

  // One block's layers one after the other, block_bytes() in all. REQUIRES: as copy_block.
  void read_block(int32_t block, std::span<std::byte> bytes) const;
  void write_block(int32_t block, std::span<const std::byte> bytes);
  int64_t block_bytes() const { return layers_ * layer_.block_bytes; }

  int64_t blocks() const { return blocks_; }
  KvElement element() const { return layer_.element; }

 private:
  KvMemory(KvLayer layer, int64_t layers, int64_t blocks, int64_t bytes);

  const KvLayer layer_;  // of layer 0
  const int64_t layers_;
  const int64_t blocks_;
  const int64_t bytes_;
};

}  // namespace brisk
