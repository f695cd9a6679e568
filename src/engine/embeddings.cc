#include "engine/embeddings.h"

#include "base/check.h"

namespace brisk {

PooledPrompt::PooledPrompt(Pooling pooling, int64_t tokens, int64_t hidden_size)
    : pooling_(pooling),
      tokens_(tokens),
      next_(pooling == Pooling::kLast ? tokens - 1 : 0),
      state_(static_cast<size_t>(hidden_size)),
      sum_(static_cast<size_t>(hidden_size), 0.0) {}

void PooledPrompt::add(const Slice& slice, int64_t row, const StepRunner& runner) {
  const int64_t end = slice.first + std::ssize(slice.tokens);
  for (int64_t position = slice.first; position < end && position < tokens_; ++position) {
    if (position != next_) continue;
    runner.final_hidden(row + position - slice.first, state_);
    for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += static_cast<double>(state_[i]);
    ++next_;
  }
}

std::vector<float> PooledPrompt::take() const {
  BRISK_CHECK(complete());
  const double count = pooling_ == Pooling::kMean ? static_cast<double>(tokens_) : 1.0;
  std::vector<float> pooled(sum_.size());
  for (size_t i = 0; i < sum_.size(); ++i) pooled[i] = static_cast<float>(sum_[i] / count);
  return pooled;
}

}  // namespace brisk
