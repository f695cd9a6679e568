#include "train/fake_quant.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "model/checkpoint/format_choice.h"

namespace brisk::train {
namespace {

constexpr int64_t kGroup = 32;

void round_trip(DType dtype, const float* in, int64_t count, float* out) {
  const Format& format = format_of(dtype);
  thread_local std::vector<std::byte> blocks;
  blocks.resize(static_cast<size_t>(bytes_of(dtype, count)));
  format.encode(in, count, blocks.data());
  format.decode(blocks.data(), count, out);
}

void round_ternary(const float* in, int64_t count, float* out) {
  for (int64_t at = 0; at < count; at += kGroup) {
    const int64_t size = std::min(kGroup, count - at);
    float sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += std::abs(in[at + i]);
    const float scale = sum / static_cast<float>(size);
    for (int64_t i = 0; i < size; ++i) {
      const float code = scale > 0 ? std::round(in[at + i] / scale) : 0;
      out[at + i] = std::clamp(code, -1.0f, 1.0f) * scale;
    }
  }
}

constexpr float kClips[] = {0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f};  // besides 1

float squared_error(const float* a, const float* b, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// round_trip() of each block cut off where that brings it nearest to what it was.
void round_trip_clipped(DType dtype, const float* in, int64_t count, float* out) {
  const int64_t size = format_of(dtype).block_values;
  if (size == 1) return round_trip(dtype, in, count, out);
  thread_local std::vector<float> clipped, rounded;
  clipped.resize(static_cast<size_t>(size));
  rounded.resize(static_cast<size_t>(size));
  round_trip(dtype, in, count, out);
  for (int64_t at = 0; at < count; at += size) {
    float largest = 0;
    for (int64_t i = 0; i < size; ++i) largest = std::max(largest, std::abs(in[at + i]));
    float least = squared_error(in + at, out + at, size);
    for (const float clip : kClips) {
      const float limit = clip * largest;
      for (int64_t i = 0; i < size; ++i) {
        clipped[static_cast<size_t>(i)] = std::clamp(in[at + i], -limit, limit);
      }
      round_trip(dtype, clipped.data(), size, rounded.data());
      const float error = squared_error(in + at, rounded.data(), size);
      if (error >= least) continue;
      least = error;
      std::copy(rounded.begin(), rounded.end(), out + at);
    }
  }
}

}  // namespace

absl::StatusOr<QuantFormat> quant_format(std::string_view name, Clipping clipping) {
  const bool ternary = name == "ternary";
  const std::string stored_as(ternary ? "q8_0" : name);
  if (stored_as == "q4_k_m") {
    return invalid_input("q4_k_m is a mix of formats; train for one of them, like q4_0");
  }
  BRISK_ASSIGN_OR_RETURN(const FormatChoice choice, FormatChoice::parse(stored_as));
  QuantFormat format;
  format.stored_as = stored_as;
  const bool search = clipping == Clipping::kSearch && !ternary;
  format.rounding = [=](const float* rows, int64_t count, int64_t width, float* out) {
    // Rows that do not fill the format's blocks get another, as in a file.
    const DType dtype = choice.of({.name = "", .shape = {count, width}}, 1, false);
    if (ternary) {
      round_ternary(rows, count * width, out);
      rows = out;
    }
    search ? round_trip_clipped(dtype, rows, count * width, out)
           : round_trip(dtype, rows, count * width, out);
  };
  return format;
}

}  // namespace brisk::train
