// Encodes tensors row by row on several threads into a file that is being written.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "compute/sys/thread_team.h"
#include "model/checkpoint/tensor_file_writer.h"

namespace brisk {

// One thread at a time.
class TensorEncoder {
 public:
  // Gives rows [begin, begin + count) of a tensor as f32; called by several threads at once.
  using Rows = std::function<void(int64_t begin, int64_t count, float* out)>;

  // `writer` must outlive this. REQUIRES: threads >= 1.
  TensorEncoder(TensorFileWriter& writer, int threads);

  // The writer's next tensor. A row is what the innermost dimension holds.
  // REQUIRES: the format can be encoded and rows are whole blocks.
  absl::Status write(const TensorPlan& tensor, const Rows& rows);

  // Called with the bytes of the file so far; may be null.
  std::function<void(uint64_t bytes)> on_progress;

 private:
  struct Chunk {
    std::vector<float> values;
    std::vector<std::byte> bytes;
  };

  TensorFileWriter& writer_;
  ThreadTeam team_;
  std::vector<Chunk> chunks_;  // one a thread
};

// Values of a shape.
int64_t values_of(const std::vector<int64_t>& shape);

}  // namespace brisk
