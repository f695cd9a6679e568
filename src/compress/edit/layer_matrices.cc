#include "compress/edit/layer_matrices.h"

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
  absl::Status add(ExpertWeights& expert, int number) {
    BRISK_RETURN_IF_ERROR(add(expert.gate, InputSite::kMlp, number));
    BRISK_RETURN_IF_ERROR(add(expert.up, InputSite::kMlp, number));
    return add(expert.down, InputSite::kMlpInner, number);
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
  for (Linear* linear : {&layer.q, &layer.k, &layer.v}) {
    BRISK_RETURN_IF_ERROR(lister.add(*linear, InputSite::kAttention));
  }
  BRISK_RETURN_IF_ERROR(lister.add(layer.o, InputSite::kAttentionOutput));
  for (Linear* linear : {&layer.gate, &layer.up}) {
    BRISK_RETURN_IF_ERROR(lister.add(*linear, InputSite::kMlp));
  }
  BRISK_RETURN_IF_ERROR(lister.add(layer.down, InputSite::kMlpInner));
  for (size_t e = 0; e < layer.experts.size(); ++e) {
    BRISK_RETURN_IF_ERROR(lister.add(layer.experts[e], static_cast<int>(e)));
  }
  BRISK_RETURN_IF_ERROR(lister.add(layer.shared_expert, -1));
  return lister.take();
}

}  // namespace brisk
