// What this machine can do at most, measured: every benchmark figure is also told as a fraction of
// these, taken in the same run, because absolute figures drift on shared machines.
#pragma once

#include <absl/status/statusor.h>

#include "compute/kernels/cpu/kernel_table.h"
#include "compute/sys/thread_team.h"

namespace brisk {

struct MachineLimits {
  double read_bytes_per_s = 0;  // memory larger than any cache, all members reading
  double int8_ops_per_s = 0;    // multiply-adds of u8 and s8 into s32, likewise
  // The same of u4 and s8: more where products are added before they are widened (AVX2).
  double int4_ops_per_s = 0;
  // The same of the tile unit, and of bf16 into f32; 0 where the kernels have none.
  double int8_tile_ops_per_s = 0;
  double bf16_tile_ops_per_s = 0;
  double flops_per_s = 0;  // f32 multiply-adds of the instruction set, all members, counted as two
};

// Takes about a second and `buffer_bytes` of memory. Median of several passes.
// Errors: ResourceExhausted when there is no memory for the buffer.
absl::StatusOr<MachineLimits> measure_limits(const KernelTable& kernels, ThreadTeam& team,
                                             int64_t buffer_bytes = int64_t{1} << 30);

}  // namespace brisk
