// The low-rank additions of a step, executed by a whole ThreadTeam as the operations of CpuOps are:
// every member calls the function with its Worker and does its share, and none synchronises.
//
// A row's addition depends on the row and its adapter only: the products with A are those of
// kernel_table.h, the ones with B one chain of multiply-adds for each output. Rows without an
// adapter are not touched.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "compute/backend/cpu_ops.h"
#include "model/lora/adapter.h"

namespace brisk {

class LoraOps {
 public:
  explicit LoraOps(const KernelTable& kernels) : kernels_(kernels) {}

  // Begins a step whose slices have these adapters (null: none; empty: nobody has one), which stay
  // alive until it ends. One thread. Allocates only for more rows times rank than ever before.
  void begin(std::span<const SliceView> slices, std::span<const LoraAdapter* const> adapters);

  // Whether any row of the step has an adapter.
  bool is_active() const { return !segments_.empty(); }

  // The products of `input` with A, for targets that share it. REQUIRES: `input` is synced, and
  // every add() of the last reduce() before that sync.
  void reduce(Worker worker, size_t layer, ConstMatView input,
              std::initializer_list<LoraTarget> targets);

  // output += the rest of the addition, in this member's columns, which it shares as
  // CpuOps::linear does. REQUIRES: a synced reduce() of the target.
  void add(Worker worker, size_t layer, LoraTarget target, MatView output) const;

 private:
  // Consecutive rows with one adapter.
  struct Segment {
    int64_t row_begin = 0;
    int64_t row_end = 0;
    const LoraAdapter* adapter = nullptr;
  };

  void reduce_segment(Worker worker, const Segment& segment, const LoraPair& pair,
                      ConstMatView input, float* reduced) const;
  float* reduced_at(int64_t row, size_t slot) {
    return reduced_.data() + row * row_floats_ + static_cast<int64_t>(slot) * rank_max_;
  }

  const KernelTable& kernels_;
  std::vector<Segment> segments_;
  int64_t rank_max_ = 0;  // of the step's adapters
  int64_t row_floats_ = 0;
  std::vector<float> reduced_;  // (rows, slots, rank_max_): products with A
};

}  // namespace brisk
