// A quantised matrix whose codes, scales and zero points are tensors of their own, read where a
// checkpoint has them: GPTQ, AWQ, compressed-tensors, fp8. The weight of output o and input i is
//   scale(o, i) * (code(o, i) - zero(o, i))
// in f32. Tools: compute/quant/scaled_codes.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "compute/tensor/dtype.h"

namespace brisk {

// Unsigned integers in little-endian 32-bit words, in any order in which words may lie. A line is
// one output (its inputs or groups in order) or one input or group (outputs in order), packed from
// the lowest bits of its first word on. Integers of 3 bits go on across words.
struct IntGrid {
  const std::byte* data = nullptr;
  int bits = 0;                   // 2, 3, 4 or 8
  int64_t line_bytes = 0;         // from a line to the next
  int64_t word_bytes = 4;         // from a word of a line to its next
  bool lines_are_outputs = true;  // else inputs or groups
  bool interleaved = false;       // AWQ: a word holds outputs 0, 2, 4, 6, 1, 3, 5, 7 of eight
  uint8_t flip = 0;               // 0x80: the bytes are signed, and mean themselves plus 128

  int at(int64_t output, int64_t input) const;
};

struct ScaledMatrix {
  enum class Code : uint8_t { kInteger, kF8E4M3 };

  Code code = Code::kInteger;
  int64_t inputs = 0;
  int64_t first_output = 0;  // in the stored tensors: a slice of rows begins there
  IntGrid codes = {};

  // A scale is shared by `group_outputs` x `group_inputs` weights.
  int64_t group_outputs = 1;
  int64_t group_inputs = 0;
  const std::byte* scales = nullptr;
  DType scale_dtype = DType::kF32;  // f32, f16 or bf16
  int64_t scale_output_stride = 0;  // in values: to the next outputs' scale
  int64_t scale_group_stride = 1;   // to the next group's

  // What is subtracted: `zero`, plus the stored one where there are any.
  std::optional<IntGrid> zeros = std::nullopt;
  int zero = 0;

  // Where groups are not runs of inputs (GPTQ's g_idx): the group of each input and, where all are
  // of group_inputs, the inputs group by group.
  std::vector<int32_t> group_of = {};
  std::shared_ptr<const std::vector<int32_t>> input_order = nullptr;

  int64_t side_bytes = 0;  // of scales, zeros and group_of in the file
};

inline int IntGrid::at(int64_t output, int64_t input) const {
  const int64_t line = lines_are_outputs ? output : input;
  int64_t i = lines_are_outputs ? input : output;
  if (interleaved) i = i / 8 * 8 + i % 8 / 2 + i % 2 * 4;
  const std::byte* const words = data + line * line_bytes;
  const auto byte_of = [&](int64_t byte) {
    return std::to_integer<unsigned>(words[byte / 4 * word_bytes + byte % 4]);
  };
  const int64_t bit = i * bits;
  const auto shift = static_cast<unsigned>(bit % 8);
  unsigned value = byte_of(bit / 8) >> shift;
  if (shift + static_cast<unsigned>(bits) > 8) value |= byte_of(bit / 8 + 1) << (8 - shift);
  return static_cast<int>((value & ((1u << bits) - 1)) ^ flip);
}

}  // namespace brisk
