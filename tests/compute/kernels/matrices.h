// Random matrices of every weight format, for tests of products.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "compute/quant/format.h"
#include "compute/tensor/half.h"
#include "compute/tensor/tensor.h"

namespace brisk {

struct Stored {
  Tensor tensor;
  std::vector<std::byte> bytes;
};

// Random blocks of a format: any bytes are codes; scales and floats are set to sane numbers.
inline std::unique_ptr<Stored> random_matrix(Rng& rng, DType dtype, int64_t columns,
                                             int64_t depth) {
  auto stored = std::make_unique<Stored>();
  stored->bytes.resize(static_cast<size_t>(bytes_of(dtype, columns * depth)));
  if (format_of(dtype).block_values == 1 && format_of(dtype).encode != nullptr) {
    std::vector<float> values(static_cast<size_t>(columns * depth));
    for (float& value : values) value = static_cast<float>(rng.next_gaussian());
    format_of(dtype).encode(values.data(), columns * depth, stored->bytes.data());
    stored->tensor = {.dtype = dtype, .shape = {columns, depth}, .data = stored->bytes};
    return stored;
  }
  for (std::byte& byte : stored->bytes) byte = static_cast<std::byte>(rng.next_below(256));
  const auto set_half = [&](int64_t at) {
    const uint16_t bits = f32_to_f16(static_cast<float>(rng.next_gaussian() * 0.01));
    std::memcpy(stored->bytes.data() + at, &bits, 2);
  };
  const Format& format = format_of(dtype);
  const int64_t blocks = static_cast<int64_t>(stored->bytes.size()) / format.block_bytes;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t at = b * format.block_bytes;
    switch (dtype) {
      case DType::kQ3_K:
        set_half(at + 108);
        break;
      case DType::kQ6_K:
        set_half(at + 208);
        break;
      case DType::kMXFP4:
        stored->bytes[static_cast<size_t>(at)] = static_cast<std::byte>(118 + rng.next_below(8));
        break;
      case DType::kTQ2_0:
        set_half(at + 64);
        break;
      case DType::kQ4_K:
      case DType::kQ5_K:
      case DType::kQ4_1:
      case DType::kQ5_1:
        set_half(at + 2);
        set_half(at);
        break;
      default:
        set_half(at);
        break;
    }
  }
  stored->tensor.dtype = dtype;
  stored->tensor.shape = {columns, depth};
  stored->tensor.data = stored->bytes;
  return stored;
}

inline std::vector<float> gaussians(Rng& rng, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.next_gaussian());
  return values;
}

inline testing::AssertionResult same_bits(const std::vector<float>& a,
                                          const std::vector<float>& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return testing::AssertionFailure() << "at " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace brisk
