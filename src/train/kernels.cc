#include "train/kernels.h"

namespace brisk::train {

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
}

bool has_fast_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16") != 0; }

const Kernels& kernels_for(ComputeType type) {
  static const bool kAvx512 = has_avx512();
  return kAvx512 ? avx512_kernels(type) : portable_kernels(type);
}

}  // namespace brisk::train
