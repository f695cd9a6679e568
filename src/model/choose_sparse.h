// Which matrices have enough zeros to run sparse.
#pragma once

#include <cstdint>
#include <optional>

#include "compute/kernels/cpu/dispatch.h"
#include "compute/kernels/cpu/kernel_table.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct SparsePick {
  SparseFormat format;
  int64_t panel_bytes;  // about; exactly they are known when all weights have been read
};

// Looks at a sample of the matrix's panels: at one where there are no zeros, so that a dense model
// loads as fast as ever. None: it runs densely, as tiles always do.
std::optional<SparsePick> choose_sparse(const Tensor& matrix, const KernelTable& kernels,
                                        SparseChoice choice);

}  // namespace brisk
