// What stands between an engine and its runner in tests: passes everything on, but what a test
// overrides.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "engine/runner.h"

namespace brisk {

class RunnerInFront : public StepRunner {
 public:
  explicit RunnerInFront(std::unique_ptr<StepRunner> real) : real_(std::move(real)) {}

  absl::StatusOr<MatView> run(const StepPlan& plan) override { return real_->run(plan); }
  void final_hidden(int64_t row, std::span<float> state) const override {
    real_->final_hidden(row, state);
  }
  int threads() const override { return real_->threads(); }
  void for_each(int64_t count, const std::function<void(int64_t, int)>& body) override {
    real_->for_each(count, body);
  }
  void read_block(BlockId block, std::span<std::byte> bytes) const override {
    real_->read_block(block, bytes);
  }
  void write_block(BlockId block, std::span<const std::byte> bytes) override {
    real_->write_block(block, bytes);
  }
  int64_t block_bytes() const override { return real_->block_bytes(); }

 private:
  const std::unique_ptr<StepRunner> real_;
};

}  // namespace brisk
