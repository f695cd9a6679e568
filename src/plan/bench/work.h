// What a test asks of the machine, operation by operation: bytes read and arithmetic done. The
// roofline: no machine is faster than the larger of the two times.
#pragma once

#include <array>
#include <cstdint>

#include "compute/backend/limits.h"
#include "compute/backend/op_trace.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "model/model.h"
#include "plan/bench/model_bench.h"

namespace brisk {

struct Work {
  double int8_ops = 0;  // products of int8 activations with weights of whole bytes
  double int4_ops = 0;  // and with narrower ones
  double tile_ops = 0;  // products of bf16 activations with weights in tiles
  double flops = 0;
  double bytes = 0;

  void add(const Work& other) {
    int8_ops += other.int8_ops;
    int4_ops += other.int4_ops;
    tile_ops += other.tile_ops;
    flops += other.flops;
    bytes += other.bytes;
  }
  double operations() const { return int8_ops + int4_ops + tile_ops + flops; }
  double memory_seconds(const MachineLimits& limits) const {
    return bytes / limits.read_bytes_per_s;
  }
  double arithmetic_seconds(const MachineLimits& limits) const {
    const double tiles = tile_ops > 0 ? tile_ops / limits.bf16_tile_ops_per_s : 0;
    return int8_ops / limits.int8_ops_per_s + int4_ops / limits.int4_ops_per_s + tiles +
           flops / limits.flops_per_s;
  }
  double seconds(const MachineLimits& limits) const {
    const double memory = memory_seconds(limits), arithmetic = arithmetic_seconds(limits);
    return memory > arithmetic ? memory : arithmetic;
  }
};

// Indexed by OpKind; zero for operations whose cost is not counted.
using WorkByOp = std::array<Work, kOpKindCount>;

// Of a whole test. Prefill: every step reads all weights once; of the head, each prompt's last
// token.
WorkByOp work_of(const Model& model, const BenchTest& test, const BenchOptions& options,
                 KvElement element);
Work total(const WorkByOp& work);

// Bytes of weights that a step of one token reads: the embedding counts only as the head.
double weight_bytes_per_step(const Model& model);

// Of a model's weights that run sparse, all together.
struct SparseBytes {
  int64_t bytes = 0;
  int64_t dense_bytes = 0;  // row by row, as their file has them
};
SparseBytes sparse_bytes(const Model& model);

}  // namespace brisk
