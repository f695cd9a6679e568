// What this machine can do at most, measured: every benchmark figure is also told as a fraction of
// these, taken in the same run, because absolute figures drift on shared machines.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>

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

// Measures them, again and again: what a shared machine gives moves within minutes. One thread,
// which must not use the team meanwhile.
class LimitsMeter {
 public:
  // `buffer_bytes` of memory are held. The kernels and the team must outlive it.
  // Errors: ResourceExhausted when there is no memory for the buffer.
  static absl::StatusOr<LimitsMeter> create(const KernelTable& kernels, ThreadTeam& team,
                                            int64_t buffer_bytes = int64_t{1} << 30);

  // Of each limit the median of `passes`; a pass of all takes some 50 ms.
  MachineLimits measure(int passes = 5);

 private:
  struct Unmap {
    size_t bytes;
    void operator()(char* memory) const;
  };
  LimitsMeter(const KernelTable& kernels, ThreadTeam& team, char* memory, int64_t bytes);

  const KernelTable* kernels_;
  ThreadTeam* team_;
  std::unique_ptr<char, Unmap> memory_;
  int64_t share_;  // bytes of a member
};

// Of each limit the median.
MachineLimits median_of(std::span<const MachineLimits> limits);

}  // namespace brisk
