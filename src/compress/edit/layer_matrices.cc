#include "compress/edit/layer_matrices.h"

#include <initializer_list>

#include "base/status.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

// The tensor that the bytes of `weight` belong to; null: they are a copy.
const NamedTensor* owner_of(const Checkpoint& checkpoint, const Tensor& weight) {
  for (const NamedTensor& named : checkpoint.tensors) {
    const std::byte* begin = named.tensor.data.data();
    const std::byte* at = weight.data.data();
    if (at >= begin && at < begin + named.tensor.data.size()) return &named;
  }
  return nullptr;
}

int64_t first_row_of(const Tensor& slice, const Tensor& whole) {
  if (slice.scaled != nullptr) return slice.scaled->first_output - whole.scaled->first_output;
  return (slice.data.data() - whole.data.data()) / bytes_of(slice.dtype, slice.shape.back());
}

class Lister {
 public:
  explicit Lister(Model& model) : model_(model) {}

  absl::Status add(Linear& linear, InputSite site, int expert = -1) {
    if (linear.weight.shape.empty()) return absl::OkStatus();
    const NamedTensor* owner = owner_of(*model_.checkpoint, linear.weight);
    if (owner == nullptr) {
      return unsupported(
          "this checkpoint stores its matrices transposed; `brisk convert` it to a .gguf first");
    }
    LayerMatrix matrix;
    matrix.linear = &linear;
    matrix.site = site;
    matrix.tensor = owner;
    matrix.rows = linear.weight.shape[0];
    matrix.depth = linear.weight.shape[1];
    matrix.first_row = first_row_of(linear.weight, owner->tensor);
    matrix.name = owner->name;
    if (expert >= 0 && !matrix.is_whole()) matrix.name += fmt::format("[{}]", expert);
    matrices_.push_back(std::move(matrix));
    return absl::OkStatus();
  }
  // Of one input.
  absl::Status add(std::initializer_list<Linear*> linears, InputSite site, int expert = -1) {
    absl::Status status;
    for_each_matrix(linears, [&](Linear& linear) {
      const bool second = linear.reduce != nullptr;
      if (status.ok()) status = add(linear, second ? InputSite::kFactor : site, expert);
    });
    return status;
  }
  absl::Status add(ExpertWeights& expert, int number) {
    BRISK_RETURN_IF_ERROR(add({&expert.gate, &expert.up}, InputSite::kMlp, number));
    return add({&expert.down}, InputSite::kMlpInner, number);
  }
  std::vector<LayerMatrix> take() { return std::move(matrices_); }

 private:
  Model& model_;
  std::vector<LayerMatrix> matrices_;
};

}  // namespace

absl::StatusOr<std::vector<LayerMatrix>> layer_matrices(Model& model, size_t index) {
  LayerWeights& layer = model.weights.layers[index];
  Lister lister(model);
  BRISK_RETURN_IF_ERROR(lister.add({&layer.q, &layer.k, &layer.v}, InputSite::kAttention));
  BRISK_RETURN_IF_ERROR(lister.add({&layer.o}, InputSite::kAttentionOutput));
  BRISK_RETURN_IF_ERROR(lister.add({&layer.gate, &layer.up}, InputSite::kMlp));
  BRISK_RETURN_IF_ERROR(lister.add({&layer.down}, InputSite::kMlpInner));
  for (size_t e = 0; e < layer.experts.size(); ++e) {
    BRISK_RETURN_IF_ERROR(lister.add(layer.experts[e], static_cast<int>(e)));
  }
  BRISK_RETURN_IF_ERROR(lister.add(layer.shared_expert, -1));
  return lister.take();
}

}  // namespace brisk
