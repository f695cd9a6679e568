// What is known of the inputs of products: how large each input is, how they go together, and a few
// of them to try things on.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "compress/calibrate/head_statistics.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace brisk {

// Of all products that share an input (q, k and v; gate and up; ...).
struct InputStatistics {
  int64_t depth = 0;
  int64_t rows = 0;                 // that were seen
  std::vector<double> sums_square;  // (depth): of x^2
  std::vector<double> sums_abs;     // (depth): of |x|
  std::vector<float> max_abs;       // (depth)
  std::vector<float> gram;          // (depth, depth): of x x^T; empty: not asked for
  std::vector<float> sample;        // (sample_rows, depth): every so-manieth row
  int64_t sample_rows = 0;

  std::vector<float> mean_square() const;  // (depth)
  // What it would be, had the inputs been divided by `factors`, (depth).
  void divide(std::span<const float> factors);
};

struct CollectOptions {
  bool gram = false;
  int64_t sample_rows = 0;    // kept of each input, at most
  int64_t head_samples = 0;   // keys and values kept of a layer, at most; 0: nothing of heads
  int64_t rows_expected = 0;  // of each input: samples are spread over so many
};

// Collects while a LayerStream looks at a layer. The team's members share the work; sums do not
// depend on how many there are.
class InputCollector : public InputObserver {
 public:
  // `kernels` outlive it.
  InputCollector(const KernelTable& kernels, const CollectOptions& options)
      : kernels_(kernels), options_(options) {}

  void observe(Worker worker, size_t layer, ConstMatView input,
               std::span<const Linear* const> users) override;
  void observe_heads(Worker worker, size_t layer, const HeadRows& rows) override;

  // Shared by all products of the input. Null: no row ever came (an expert that nobody chose).
  InputStatistics* of(const Linear& linear);

  // Of the layer. Null: nobody asked for it, or no row ever came.
  const HeadStatistics* heads() const { return heads_.rows > 0 ? &heads_ : nullptr; }

  void clear() {
    inputs_.clear();
    heads_ = {};
  }

 private:
  InputStatistics& prepare(ConstMatView input, std::span<const Linear* const> users);

  const KernelTable& kernels_;
  const CollectOptions options_;
  absl::flat_hash_map<const Linear*, std::shared_ptr<InputStatistics>> inputs_;
  HeadStatistics heads_;
  std::vector<float> transposed_;  // (depth, rows) of the input that is being added
};

}  // namespace brisk
