#include "model/model.h"

#include <algorithm>
#include <filesystem>

#include "base/split_name.h"
#include "base/status.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/format.h"
#include "model/arch/architecture.h"
#include "model/bind_weights.h"
#include "model/pack_weights.h"

namespace brisk {
namespace {

// The embedding knows the vocabulary better than configurations do.
int64_t vocab_size_of(const Checkpoint& checkpoint, const TensorNames& names) {
  const Tensor* embedding = checkpoint.find(names.embedding);
  return embedding != nullptr && embedding->shape.size() == 2 ? embedding->shape[0]
                                                              : checkpoint.config.vocab_size;
}

int rank_max(const Weights& weights) {
  int64_t rank = 0;
  for (const LayerWeights& layer : weights.layers) {
    const ExpertWeights& shared = layer.shared_expert;
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up,
                                 &layer.down, &shared.gate, &shared.up, &shared.down}) {
      if (linear->reduce != nullptr) rank = std::max(rank, linear->reduce->weight.shape[0]);
    }
  }
  return static_cast<int>(rank);
}

// Spec and weights, as views into the checkpoint.
absl::Status bind(std::shared_ptr<const Checkpoint> checkpoint, const LoadOptions& options,
                  Model* model) {
  BRISK_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(checkpoint->config));
  const TensorNames names = architecture->names(checkpoint->config.layout);
  BRISK_ASSIGN_OR_RETURN(model->spec, architecture->spec(*checkpoint, options.context_max));
  model->spec.architecture = std::string(architecture->name);
  const int64_t vocab_size = vocab_size_of(*checkpoint, names);
  if (vocab_size < 1 || vocab_size > 1 << 24) {
    return invalid_input("a vocabulary of {} tokens cannot be", vocab_size);
  }
  model->spec.vocab_size = static_cast<int>(vocab_size);
  BRISK_ASSIGN_OR_RETURN(model->weights, bind_weights(*checkpoint, names, model->spec));
  model->spec.rank_max = rank_max(model->weights);
  model->checkpoint = std::move(checkpoint);
  return absl::OkStatus();
}

// `wanted`, or where it is null the environment's. Weights that are compiled to panels need kernels
// of panels: tiles step aside for the instruction set below.
absl::StatusOr<const KernelTable*> kernels_for(const Checkpoint& checkpoint,
                                               const KernelTable* wanted) {
  if (wanted == nullptr) {
    BRISK_ASSIGN_OR_RETURN(wanted, kernels_from_environment());
  }
  const auto any = [&checkpoint](auto packed) {
    return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                       [&](const NamedTensor& named) { return packed(named.tensor); });
  };
  const bool has_tiles = any([](const Tensor& tensor) { return tensor.tiles.has_value(); });
  if (has_tiles && wanted->tiles == nullptr) {
    return unsupported(
        "it is compiled for AMX, but {} kernels run here: compile the original "
        "file on this machine",
        wanted->name);
  }
  const bool has_panels = any([](const Tensor& tensor) { return tensor.panels.has_value(); });
  if (has_tiles && has_panels) {
    return invalid_input(
        "some of its matrices are in panels, others in tiles: no machine takes both");
  }
  return has_panels && wanted->tiles != nullptr ? &kKernelsAvx512 : wanted;
}

absl::StatusOr<SparseChoice> sparse_choice_for(const LoadOptions& options) {
  if (options.sparse.has_value()) return *options.sparse;
  return sparse_choice_from_environment();
}

int64_t parameters(std::initializer_list<const Linear*> linears) {
  int64_t total = 0;
  for_each_matrix(linears, [&total](const Linear& linear) {
    if (linear.weight.shape.empty()) return;
    total += linear.weight.values() + static_cast<int64_t>(linear.bias.size());
  });
  return total;
}

}  // namespace

std::string model_name_of(const std::string& path) {
  std::filesystem::path p = std::filesystem::path(path).lexically_normal();
  if (p.filename().empty()) p = p.parent_path();
  if (std::filesystem::is_directory(p)) return p.filename().string();
  if (const auto split = parse_split_name(p.filename().string())) return split->stem;
  return p.stem().string();
}

absl::StatusOr<std::shared_ptr<const Model>> load_model(const std::string& path,
                                                        const LoadOptions& options) {
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> checkpoint,
                         open_checkpoint(path, {.tokenizer_path = options.tokenizer_path}));
  auto model = make_model(std::move(checkpoint), model_name_of(path), options);
  if (!model.ok()) return annotate(model.status(), path);
  return model;
}

absl::StatusOr<std::unique_ptr<Model>> make_editable_model(
    std::shared_ptr<const Checkpoint> checkpoint, std::string name, const LoadOptions& options) {
  auto model = std::make_unique<Model>();
  model->name = std::move(name);
  BRISK_ASSIGN_OR_RETURN(model->kernels, kernels_for(*checkpoint, options.kernels));
  BRISK_RETURN_IF_ERROR(bind(std::move(checkpoint), options, model.get()));
  if (model->checkpoint->tokenizer.kind != TokenizerKind::kNone) {
    BRISK_ASSIGN_OR_RETURN(model->tokenizer, Tokenizer::create(model->checkpoint->tokenizer));
  }
  return model;
}

absl::StatusOr<std::shared_ptr<const Model>> make_model(
    std::shared_ptr<const Checkpoint> checkpoint, std::string name, const LoadOptions& options) {
  BRISK_ASSIGN_OR_RETURN(std::unique_ptr<Model> model,
                         make_editable_model(std::move(checkpoint), std::move(name), options));
  BRISK_ASSIGN_OR_RETURN(const SparseChoice sparse, sparse_choice_for(options));
  if (options.activations == Activations::kInt8) {
    BRISK_RETURN_IF_ERROR(pack_weights(*model->kernels,
                                       {.threads = options.threads,
                                        .is_file = !model->checkpoint->files.empty(),
                                        .sparse = sparse,
                                        .progress = options.progress},
                                       &model->weights));
    model->activations = Activations::kInt8;
  }
  return std::shared_ptr<const Model>(std::move(model));
}

absl::StatusOr<ModelOutline> outline_model(const std::string& path, const LoadOptions& options) {
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> checkpoint,
                         open_checkpoint(path, {.tokenizer_path = options.tokenizer_path}));
  auto model = std::make_shared<Model>();
  model->name = model_name_of(path);
  BRISK_ASSIGN_OR_RETURN(model->kernels, kernels_for(*checkpoint, options.kernels));
  BRISK_ASSIGN_OR_RETURN(const SparseChoice sparse, sparse_choice_for(options));
  const absl::Status bound = bind(std::move(checkpoint), options, model.get());
  if (!bound.ok()) return annotate(bound, path);
  ModelOutline outline;
  for (const NamedTensor& named : model->checkpoint->tensors) {
    outline.mapped_bytes += std::ssize(named.tensor.data);
  }
  if (options.activations == Activations::kInt8) {
    const PackedSize size = packed_size(*model->kernels, sparse, model->weights);
    outline.packed_bytes = size.bytes;
    outline.mapped_bytes = std::max<int64_t>(outline.mapped_bytes - size.source_bytes, 0);
  }
  model->activations = options.activations;
  outline.model = std::move(model);
  return outline;
}

int64_t active_parameters(const Model& model) {
  int64_t total = parameters({&model.weights.head});
  for (const LayerWeights& layer : model.weights.layers) {
    total += parameters({&layer.q, &layer.k, &layer.v, &layer.o});
    if (layer.experts.empty()) {
      total += parameters({&layer.gate, &layer.up, &layer.down});
      continue;
    }
    const ExpertWeights& expert = layer.experts.front();
    const ExpertWeights& shared = layer.shared_expert;
    total += parameters({&layer.router});
    total +=
        model.spec.moe.experts_per_token * parameters({&expert.gate, &expert.up, &expert.down});
    total += parameters({&shared.gate, &shared.up, &shared.down, &layer.shared_expert_gate});
  }
  return total;
}

}  // namespace brisk
