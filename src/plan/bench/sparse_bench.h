// Where sparse weights pay on this machine: one matrix product, dense and sparse in turn, for every
// format, sparsity and number of rows.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compute/kernels/cpu/kernel_table.h"
#include "compute/tensor/dtype.h"
#include "model/synth/sparsity.h"

namespace brisk {

struct SparseBenchOptions {
  std::vector<DType> formats = {DType::kBF16, DType::kQ8_0, DType::kQ4_0};
  std::vector<Sparsity> sparsities;
  std::vector<int> rows = {1, 4, 16, 256};
  int64_t size = 4096;   // inputs and outputs of the matrix; a multiple of 32
  int repetitions = 25;  // pairs of a dense and a sparse product
  int threads = 0;       // 0: all
};

struct SparseBenchResult {
  DType format;
  Sparsity sparsity;
  int rows = 0;
  int64_t dense_bytes = 0, sparse_bytes = 0;     // of the matrix
  double dense_seconds = 0, sparse_seconds = 0;  // of a product; medians
  double speedup = 0;                            // median over the pairs of dense / sparse
};

// Every product reads its matrix from memory: there are as many copies as do not fit into caches.
// `progress` is told each case as it begins. Errors: InvalidArgument (a format that does not run
// sparse on these kernels, rows or a size that cannot be).
absl::StatusOr<std::vector<SparseBenchResult>> bench_sparse(
    const KernelTable& kernels, const SparseBenchOptions& options,
    const std::function<void(const std::string&)>& progress);

}  // namespace brisk
