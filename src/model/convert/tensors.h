// The tensors of a conversion: what each is made of, and its rows as f32.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/checkpoint/tensor_encoder.h"
#include "model/checkpoint/tensor_file_writer.h"
#include "model/convert/target.h"

namespace brisk {

struct ConvertedTensor {
  TensorPlan plan;  // dtype: the source's
  // Stacked along the outermost dimension; empty: `values` instead.
  std::vector<const Tensor*> sources;
  std::vector<float> values;
  int64_t first_row = 0;  // where the rows begin in a stacked source
  int64_t head_dim = 0;   // not 0: rows of each head move between halves and neighbours
  bool to_interleaved = false;
  bool transposed = false;  // the source is (in, out)
  float shift = 0;          // added to every value

  // Its bytes are the source's bytes, when the format stays.
  bool is_copy() const {
    return sources.size() == 1 && head_dim == 0 && !transposed && shift == 0 &&
           sources.front()->values() == values_of(plan.shape);
  }

  // Where a row is taken from. REQUIRES: there are sources, and not transposed ones.
  struct Place {
    const Tensor* source;
    int64_t row;
  };
  Place place_of(int64_t row) const;

  // Its rows are rows of the sources, byte for byte, when the format stays.
  bool keeps_bytes() const;
  std::span<const std::byte> row_bytes(int64_t row) const;  // REQUIRES: keeps_bytes()

  // Rows [begin, begin + count), a row being the innermost dimension. Thread-safe after prepare().
  void rows(int64_t begin, int64_t count, float* out) const;

  // Decodes what must be seen as a whole (transposed sources) into `values`.
  void prepare();
  void release() { values = {}; }
};

// Every tensor of the target, in an order that its readers are used to. `unplaced` counts those of
// the source that the target has no place for.
absl::StatusOr<std::vector<ConvertedTensor>> plan_tensors(const Conversion& conversion,
                                                          int64_t* unplaced);

}  // namespace brisk
