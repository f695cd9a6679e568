#include "compress/quantize/smooth_layer.h"

#include <string>

#include "base/status.h"
#include "model/arch/architecture.h"

namespace brisk {
namespace {

class LayerSmoother {
 public:
  LayerSmoother(const SmoothLayer& job, const TensorNames& names, ThreadTeam& team)
      : job_(job),
        names_(names),
        team_(team),
        weights_(job.model->weights.layers[job.layer]),
        spec_(job.model->spec) {}

  absl::Status run() {
    BRISK_RETURN_IF_ERROR(into_norm(weights_.q, {&weights_.q, &weights_.k, &weights_.v},
                                    names_.attention_norm, weights_.attention_norm));
    const int64_t group = spec_.heads / spec_.kv_heads;
    into_rows(weights_.o, weights_.v, {group, spec_.head_dim});
    if (spec_.layers[job_.layer].routed) return absl::OkStatus();
    const bool gated = !weights_.gate.weight.shape.empty();
    BRISK_RETURN_IF_ERROR(
        into_norm(weights_.up, {&weights_.gate, &weights_.up}, names_.ffn_norm, weights_.ffn_norm));
    if (gated) into_rows(weights_.down, weights_.up, {1, 1});
    return absl::OkStatus();
  }

 private:
  // Chooses the factors of an input and multiplies its matrices by them.
  std::vector<float> scale_input(InputStatistics& statistics, std::span<const Linear* const> users,
                                 FactorGroups groups) {
    SmoothInput input;
    input.statistics = &statistics;
    for (const Linear* user : users) {
      if (WorkingMatrix* matrix = find_matrix(*job_.matrices, *user))
        input.matrices.push_back(matrix);
    }
    std::vector<float> factors =
        smoothing_factors(job_.method, input, groups, job_.rounding, *job_.model->kernels, team_);
    for (WorkingMatrix* matrix : input.matrices) scale_columns(*matrix, factors);
    statistics.divide(factors);
    return factors;
  }

  absl::Status into_norm(const Linear& any, std::initializer_list<const Linear*> users,
                         const std::string& pattern, NormWeights& norm) {
    const std::string name = with_number(pattern, static_cast<int64_t>(job_.layer));
    InputStatistics* statistics = job_.collector->of(any);
    if (statistics == nullptr || norm.weight.empty()) return absl::OkStatus();
    const std::vector<float> factors = scale_input(*statistics, {users.begin(), users.size()}, {});
    return divide_norm(
        {.name = name, .norm = &norm, .plus_one = spec_.norm == NormKind::kRmsPlusOne}, factors,
        *job_.model->checkpoint, *job_.edit);
  }

  // Inputs of `linear` are what the rows of `maker` make, value heads shared by groups of heads.
  void into_rows(const Linear& linear, const Linear& maker, FactorGroups groups) {
    InputStatistics* statistics = job_.collector->of(linear);
    WorkingMatrix* source = find_matrix(*job_.matrices, maker);
    if (statistics == nullptr || source == nullptr) return;
    const Linear* const user = &linear;
    const std::vector<float> factors = scale_input(*statistics, {&user, 1}, groups);
    std::vector<float> of_rows;
    const int64_t span = groups.kv_group * groups.head_dim;
    for (int64_t i = 0; i < std::ssize(factors); ++i) {
      if (i % span < groups.head_dim) of_rows.push_back(factors[static_cast<size_t>(i)]);
    }
    divide_rows(*source, of_rows);
    store_bias(*job_.model->checkpoint, *source, *job_.edit);
  }

  const SmoothLayer& job_;
  const TensorNames& names_;
  ThreadTeam& team_;
  LayerWeights& weights_;
  const ModelSpec& spec_;
};

}  // namespace

absl::Status smooth_layer(const SmoothLayer& job, ThreadTeam& team) {
  const Checkpoint& checkpoint = *job.model->checkpoint;
  BRISK_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(checkpoint.config));
  const TensorNames names = architecture->names(checkpoint.config.layout);
  return LayerSmoother(job, names, team).run();
}

}  // namespace brisk
