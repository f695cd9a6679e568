#include "model/kv_memory.h"

#include <sys/mman.h>

#include <cstring>

#include "base/status.h"
#include "base/units.h"

namespace brisk {
namespace {

// The shape of one layer's blocks; pointers still null. Keys are (heads, head_dim, 16 tokens),
// values (heads, 16 tokens, head_dim rounded up to 16), each followed by its scales if it has any
// (KvElement).
KvLayer layer_shape(const ModelSpec& spec, KvElement element) {
  KvLayer layer;
  layer.element = element;
  layer.kv_heads = spec.kv_heads;
  layer.head_dim = spec.head_dim;
  const KvHeadBytes bytes = kv_head_bytes(element, spec.head_dim);
  layer.head_bytes_keys = bytes.keys;
  layer.head_bytes_values = bytes.values;
  layer.block_bytes = spec.kv_heads * (layer.head_bytes_keys + layer.head_bytes_values);
  return layer;
}

}  // namespace

KvElement kv_element_for(const Model& model, KvDType dtype) {
  switch (dtype) {
    case KvDType::kF32:
      return KvElement::kF32;
    case KvDType::kF16:
      return KvElement::kF16;
    case KvDType::kBF16:
      return KvElement::kBF16;
    case KvDType::kInt8:
      return KvElement::kInt8;
    case KvDType::kFp8:
      return KvElement::kFp8;
    case KvDType::kInt4:
      return KvElement::kInt4;
    case KvDType::kAuto:
      break;
  }
  // A cache coarser than the weights would be the first thing to cost quality.
  const bool exact = model.weights.layers.front().q.weight.dtype == DType::kF32;
  return exact ? KvElement::kF32 : KvElement::kBF16;
}

int64_t kv_block_bytes(const ModelSpec& spec, KvElement element) {
  return layer_shape(spec, element).block_bytes * static_cast<int64_t>(spec.layers.size());
}

absl::StatusOr<std::unique_ptr<KvMemory>> KvMemory::create(const ModelSpec& spec, KvElement element,
                                                           int64_t blocks) {
  KvLayer layer = layer_shape(spec, element);
  uint64_t bytes = 0;
  if (blocks < 1 || !checked_multiply(static_cast<uint64_t>(kv_block_bytes(spec, element)),
                                      static_cast<uint64_t>(blocks), &bytes)) {
    return invalid_input("a KV cache of {} blocks cannot be", blocks);
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return exhausted("no memory for a KV cache of {}; ask for fewer tokens of KV",
                     human_bytes(bytes));
  }
  ::madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: not every kernel grants it
  layer.keys = static_cast<std::byte*>(memory);
  layer.values = layer.keys + layer.kv_heads * layer.head_bytes_keys;
  return std::unique_ptr<KvMemory>(new KvMemory(layer, static_cast<int64_t>(spec.layers.size()),
                                                blocks, static_cast<int64_t>(bytes)));
}

KvMemory::KvMemory(KvLayer layer, int64_t layers, int64_t blocks, int64_t bytes)
    : layer_(layer), layers_(layers), blocks_(blocks), bytes_(bytes) {}

KvMemory::~KvMemory() { ::munmap(layer_.keys, static_cast<size_t>(bytes_)); }

KvLayer KvMemory::layer(int64_t index) const {
  KvLayer layer = layer_;
  layer.keys += index * blocks_ * layer.block_bytes;
  layer.values += index * blocks_ * layer.block_bytes;
  return layer;
}

void KvMemory::read_block(int32_t block, std::span<std::byte> bytes) const {
  for (int64_t i = 0; i < layers_; ++i) {
    std::memcpy(bytes.data() + i * layer_.block_bytes, layer(i).keys + block * layer_.block_bytes,
                static_cast<size_t>(layer_.block_bytes));
  }
}

void KvMemory::write_block(int32_t block, std::span<const std::byte> bytes) {
  for (int64_t i = 0; i < layers_; ++i) {
    std::memcpy(layer(i).keys + block * layer_.block_bytes, bytes.data() + i * layer_.block_bytes,
                static_cast<size_t>(layer_.block_bytes));
  }
}

void KvMemory::copy_block(int32_t from, int32_t to) {
  for (int64_t i = 0; i < layers_; ++i) {
    std::byte* const keys = layer(i).keys;  // a block's values follow its keys
    std::memcpy(keys + to * layer_.block_bytes, keys + from * layer_.block_bytes,
                static_cast<size_t>(layer_.block_bytes));
  }
}

}  // namespace brisk
