#include "compress/edit/checkpoint_edit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "compute/quant/format.h"

namespace brisk {

CheckpointEdit::CheckpointEdit(std::shared_ptr<const Checkpoint> source)
    : source_(std::move(source)) {}

std::byte* CheckpointEdit::replace(const NamedTensor& old, DType dtype,
                                   std::vector<int64_t> shape) {
  Replacement& replacement = replacements_[&old];
  if (replacement.bytes == nullptr) {
    Tensor& tensor = replacement.tensor;
    tensor.dtype = dtype;
    tensor.shape = std::move(shape);
    const auto size = static_cast<size_t>(bytes_of(dtype, tensor.values()));
    replacement.bytes = std::make_unique<std::byte[]>(size);
    tensor.data = {replacement.bytes.get(), size};
  }
  BRISK_CHECK(replacement.tensor.dtype == dtype);
  return replacement.bytes.get();
}

void CheckpointEdit::patch_values(const NamedTensor& old, int64_t first,
                                  std::span<const float> values) {
  const bool is_new = !replacements_.contains(&old);
  std::byte* bytes = replace(old, DType::kF32, old.tensor.shape);
  float* all = reinterpret_cast<float*>(bytes);
  if (is_new) decode_values(old.tensor, 0, old.tensor.values(), all);
  std::copy(values.begin(), values.end(), all + first);
}

Checkpoint CheckpointEdit::edited() const {
  Checkpoint checkpoint;
  checkpoint.config = source_->config;
  checkpoint.generation = source_->generation;
  checkpoint.tokenizer = source_->tokenizer;
  checkpoint.chat_template = source_->chat_template;
  checkpoint.metadata = source_->metadata;
  checkpoint.index = source_->index;
  for (const NamedTensor& named : source_->tensors) {
    const auto it = replacements_.find(&named);
    checkpoint.tensors.push_back(
        {named.name, it == replacements_.end() ? named.tensor : it->second.tensor});
  }
  return checkpoint;
}

}  // namespace brisk
