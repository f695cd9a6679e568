#include "model/checkpoint/tensor_encoder.h"

#include <algorithm>

#include "base/status.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

constexpr int64_t kChunkValues = int64_t{1} << 20;  // what a thread makes at a time

}  // namespace

TensorEncoder::TensorEncoder(TensorFileWriter& writer, int threads)
    : writer_(writer), team_(threads), chunks_(static_cast<size_t>(threads)) {}

absl::Status TensorEncoder::write(const TensorPlan& tensor, const Rows& rows) {
  const int64_t width = tensor.shape.back();
  const int64_t height = values_of(tensor.shape) / width;
  const int64_t chunk_rows = std::max<int64_t>(1, kChunkValues / width);
  const auto make = [&](int64_t begin, int64_t count, Chunk& chunk) {
    const int64_t values = count * width;
    chunk.values.resize(static_cast<size_t>(values));
    chunk.bytes.resize(static_cast<size_t>(bytes_of(tensor.dtype, values)));
    if (count == 0) return;
    rows(begin, count, chunk.values.data());
    format_of(tensor.dtype).encode(chunk.values.data(), values, chunk.bytes.data());
  };
  for (int64_t begin = 0; begin < height; begin += chunk_rows * team_.size()) {
    team_.run([&](Worker worker) {
      const int64_t at = begin + worker.index * chunk_rows;
      make(at, std::clamp<int64_t>(height - at, 0, chunk_rows),
           chunks_[static_cast<size_t>(worker.index)]);
    });
    for (const Chunk& chunk : chunks_) {
      if (!chunk.bytes.empty()) BRISK_RETURN_IF_ERROR(writer_.append(chunk.bytes));
    }
    if (on_progress) on_progress(writer_.bytes_written());
  }
  return absl::OkStatus();
}

int64_t values_of(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (const int64_t extent : shape) product *= extent;
  return product;
}

}  // namespace brisk
