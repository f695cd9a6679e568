#include "train/kernels_body.h"

namespace brisk::train {

const Kernels& portable_kernels(ComputeType type) {
  return type == ComputeType::kF32 ? kTable<F32> : kTable<BF16>;
}

}  // namespace brisk::train
