#include "train/objective.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace brisk::train {

LearnedRows learned_rows(const Batch& batch, int64_t learned_total) {
  const int64_t count = batch.learned();
  LearnedRows learned = {.rows = at::empty({count}, at::kLong),
                         .tokens = at::empty({count}, at::kInt),
                         .weights = at::empty({count}, at::kFloat)};
  int64_t at = 0;
  for (size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] < 0) continue;
    learned.rows.data_ptr<int64_t>()[at] = static_cast<int64_t>(i);
    learned.tokens.data_ptr<int32_t>()[at++] = batch.targets[i];
  }
  learned.weights.fill_(1.0 / static_cast<double>(std::max<int64_t>(1, learned_total)));
  return learned;
}

void NextToken::learn(LlamaModel& model, const Batch& batch, int64_t learned_total,
                      LossSums& sums) {
  const ModelInput input = model.input_of(batch);
  const LearnedRows learned = learned_rows(batch, learned_total);
  const at::Tensor hidden = model.forward(input).index_select(0, learned.rows);
  const Targets targets = {.tokens = learned.tokens, .weights = learned.weights};
  const at::Tensor loss = output_loss(hidden, model.head(), targets, sums);
  if (loss.requires_grad()) loss.backward();
}

}  // namespace brisk::train
