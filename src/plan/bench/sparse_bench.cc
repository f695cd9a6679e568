#include "plan/bench/sparse_bench.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/rng.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/backend/cpu_ops.h"
#include "compute/quant/format.h"
#include "compute/quant/pack_panels.h"
#include "compute/quant/pack_sparse.h"
#include "compute/sys/thread_team.h"

namespace brisk {
namespace {

constexpr int64_t kUncachedBytes = 128 << 20;  // of all copies of a matrix
constexpr int kRowsMax = 4096;
constexpr int64_t kSizeMax = 1 << 14;

// A matrix in as many places as keep it out of the caches.
class Copies {
 public:
  Copies(Tensor matrix, std::vector<std::byte> bytes) : matrix_(std::move(matrix)) {
    const auto size = static_cast<int64_t>(bytes.size());
    copies_.resize(static_cast<size_t>(ceil_div(kUncachedBytes, size)), bytes);
  }

  Tensor next() {
    matrix_.data = copies_[next_++ % copies_.size()];
    return matrix_;
  }

 private:
  Tensor matrix_;
  std::vector<std::vector<std::byte>> copies_;
  size_t next_ = 0;
};

struct Pair {
  Copies dense, sparse;
  int64_t dense_bytes, sparse_bytes;
};

std::vector<std::byte> random_weights(DType dtype, const Sparsity& sparsity, int64_t size) {
  Rng rng(1);
  std::vector<float> row(static_cast<size_t>(size));
  const int64_t row_bytes = bytes_of(dtype, size);
  std::vector<std::byte> stored(static_cast<size_t>(row_bytes * size));
  for (int64_t r = 0; r < size; ++r) {
    for (float& value : row) value = static_cast<float>(rng.next_gaussian() * 0.02);
    sparsity.prune(row);
    format_of(dtype).encode(row.data(), size, stored.data() + r * row_bytes);
  }
  return stored;
}

// REQUIRES: the format runs sparse.
Pair make_pair(DType dtype, const Sparsity& sparsity, int64_t size) {
  std::vector<std::byte> stored = random_weights(dtype, sparsity, size);
  const Tensor matrix = {.dtype = dtype, .shape = {size, size}, .data = stored};
  Tensor dense = matrix, sparse = matrix;
  sparse.sparse = sparse_format_for(matrix);
  std::vector<std::byte> sparse_bytes = pack_sparse(matrix, *sparse.sparse);
  dense.panels = panel_format_for(matrix);
  if (dense.panels.has_value()) {
    std::vector<std::byte> panels(
        static_cast<size_t>(panel_bytes(*dense.panels, size) * panel_count(matrix)));
    pack_panels(matrix, *dense.panels, {0, panel_count(matrix)}, panels.data());
    stored = std::move(panels);
  }
  const auto dense_size = std::ssize(stored), sparse_size = std::ssize(sparse_bytes);
  return {.dense = Copies(std::move(dense), std::move(stored)),
          .sparse = Copies(std::move(sparse), std::move(sparse_bytes)),
          .dense_bytes = dense_size,
          .sparse_bytes = sparse_size};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Product {
 public:
  Product(const KernelTable& kernels, ThreadTeam& team, int64_t size, int rows)
      : team_(team),
        ops_(kernels, team.size(), {.rows = rows, .depth = size, .head_dim = 64}),
        rows_(rows),
        size_(size),
        x_(static_cast<size_t>(rows * size), 0.5f),
        y_(static_cast<size_t>(rows * size)) {}

  double seconds(const Tensor& weight) {
    const MatView input = {x_.data(), rows_, size_, size_};
    const MatView output = {y_.data(), rows_, size_, size_};
    const auto start = std::chrono::steady_clock::now();
    team_.run([&](Worker worker) {
      if (weight.takes_rounded_input()) ops_.load_input(worker, input);
      worker.sync();
      ops_.linear(worker, {.input = input, .weight = &weight, .bias = {}, .output = output});
    });
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  ThreadTeam& team_;
  CpuOps ops_;
  const int64_t rows_, size_;
  std::vector<float> x_, y_;
};

SparseBenchResult measure(Product& product, Pair& pair, int repetitions) {
  std::vector<double> dense, sparse, speedups;
  for (int i = -2; i < repetitions; ++i) {  // two to warm up
    const double a = product.seconds(pair.dense.next()), b = product.seconds(pair.sparse.next());
    if (i < 0) continue;
    dense.push_back(a);
    sparse.push_back(b);
    speedups.push_back(a / b);
  }
  SparseBenchResult result;
  result.dense_bytes = pair.dense_bytes;
  result.sparse_bytes = pair.sparse_bytes;
  result.dense_seconds = median(std::move(dense));
  result.sparse_seconds = median(std::move(sparse));
  result.speedup = median(std::move(speedups));
  return result;
}

absl::Status check(const KernelTable& kernels, const SparseBenchOptions& options) {
  if (kernels.sparse == nullptr) {
    return invalid_input("{} runs all weights densely; BRISK_ISA chooses other kernels",
                         kernels.name);
  }
  if (options.size < kGroupInputs || options.size > kSizeMax || options.size % kGroupInputs != 0) {
    return invalid_input("the size must be a multiple of {} up to {}, not {}", kGroupInputs,
                         kSizeMax, options.size);
  }
  for (const int rows : options.rows) {
    if (rows < 1 || rows > kRowsMax) {
      return invalid_input("rows must be 1 to {}, not {}", kRowsMax, rows);
    }
  }
  for (const DType dtype : options.formats) {
    const Tensor matrix = {.dtype = dtype, .shape = {options.size, options.size}, .data = {}};
    if (format_of(dtype).encode == nullptr || !sparse_format_for(matrix).has_value()) {
      return invalid_input("{} does not run sparse; bf16, f16, f32, q8_0 and q4_0 do",
                           format_of(dtype).name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<SparseBenchResult>> bench_sparse(
    const KernelTable& kernels, const SparseBenchOptions& options,
    const std::function<void(const std::string&)>& progress) {
  BRISK_RETURN_IF_ERROR(check(kernels, options));
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  std::vector<SparseBenchResult> results;
  for (const DType format : options.formats) {
    for (const Sparsity& sparsity : options.sparsities) {
      progress(fmt::format("{} {}", format_of(format).name, sparsity.text()));
      Pair pair = make_pair(format, sparsity, options.size);
      for (const int rows : options.rows) {
        Product product(kernels, team, options.size, rows);
        results.push_back(measure(product, pair, options.repetitions));
        results.back().format = format;
        results.back().sparsity = sparsity;
        results.back().rows = rows;
      }
    }
  }
  return results;
}

}  // namespace brisk
