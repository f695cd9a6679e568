#include "compute/quant/format.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "compute/quant/codecs.h"
#include "compute/quant/scaled_codes.h"

namespace brisk {
namespace {

// One row a format, in the order of DType.
constexpr std::array<Format, 25> kFormats = {{
    {DType::kF32, "f32", 1, 4, quant::decode_f32, quant::encode_f32},
    {DType::kF16, "f16", 1, 2, quant::decode_f16, quant::encode_f16},
    {DType::kBF16, "bf16", 1, 2, quant::decode_bf16, quant::encode_bf16},
    {DType::kF64, "f64", 1, 8, quant::decode_f64, quant::encode_f64},
    {DType::kI8, "i8", 1, 1, nullptr, nullptr},
    {DType::kI16, "i16", 1, 2, nullptr, nullptr},
    {DType::kI32, "i32", 1, 4, nullptr, nullptr},
    {DType::kI64, "i64", 1, 8, nullptr, nullptr},
    {DType::kQ4_0, "q4_0", 32, 18, quant::decode_q4_0, quant::encode_q4_0},
    {DType::kQ4_1, "q4_1", 32, 20, quant::decode_q4_1, quant::encode_q4_1},
    {DType::kQ5_0, "q5_0", 32, 22, quant::decode_q5_0, quant::encode_q5_0},
    {DType::kQ5_1, "q5_1", 32, 24, quant::decode_q5_1, quant::encode_q5_1},
    {DType::kQ8_0, "q8_0", 32, 34, quant::decode_q8_0, quant::encode_q8_0},
    {DType::kQ2_K, "q2_k", 256, 84, quant::decode_q2_k, quant::encode_q2_k},
    {DType::kQ3_K, "q3_k", 256, 110, quant::decode_q3_k, nullptr},
    {DType::kQ4_K, "q4_k", 256, 144, quant::decode_q4_k, quant::encode_q4_k},
    {DType::kQ5_K, "q5_k", 256, 176, quant::decode_q5_k, nullptr},
    {DType::kQ6_K, "q6_k", 256, 210, quant::decode_q6_k, quant::encode_q6_k},
    {DType::kIQ4_NL, "iq4_nl", 32, 18, quant::decode_iq4_nl, nullptr},
    {DType::kMXFP4, "mxfp4", 32, 17, quant::decode_mxfp4, nullptr},
    {DType::kTQ2_0, "tq2_0", 256, 66, quant::decode_tq2_0, quant::encode_tq2_0},
    {DType::kInt8Grouped, "int8_grouped", 1, 1, nullptr, nullptr},
    {DType::kTernaryGrouped, "ternary_grouped", 4, 1, nullptr, nullptr},
    {DType::kScaled, "scaled", 1, 1, nullptr, nullptr},
    {DType::kF8E4M3, "f8_e4m3", 1, 1, quant::decode_f8_e4m3, nullptr},
}};

constexpr bool rows_are_in_order() {
  for (size_t i = 0; i < kFormats.size(); ++i) {
    if (static_cast<size_t>(kFormats[i].dtype) != i) return false;
  }
  return true;
}
static_assert(rows_are_in_order());

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

void decode_int8(const std::byte* codes, int64_t count, float scale, float* out) {
  const auto* values = reinterpret_cast<const int8_t*>(codes);
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(values[i]) * scale;
}

// Values [begin, begin + count) of two bits each.
void decode_ternary(const std::byte* codes, int64_t begin, int64_t count, float scale, float* out) {
  const float levels[4] = {0 * scale, 1 * scale, -2 * scale, -1 * scale};
  for (int64_t i = begin; i < begin + count; ++i) {
    out[i - begin] = levels[std::to_integer<int>(codes[i / 4]) >> (i % 4 * 2) & 3];
  }
}

void decode_grouped(const Tensor& tensor, int64_t begin, int64_t count, float* out) {
  BRISK_CHECK(tensor.scale_group > 0);
  const int64_t end = begin + count;
  for (int64_t first = begin; first < end;) {
    const int64_t group = first / tensor.scale_group;
    const int64_t last = std::min((group + 1) * tensor.scale_group, end);
    const float scale = tensor.scales[static_cast<size_t>(group)];
    if (tensor.dtype == DType::kInt8Grouped) {
      decode_int8(tensor.data.data() + first, last - first, scale, out);
    } else {
      decode_ternary(tensor.data.data(), first, last - first, scale, out);
    }
    out += last - first;
    first = last;
  }
}

}  // namespace

const Format& format_of(DType dtype) { return kFormats[static_cast<size_t>(dtype)]; }

std::span<const Format> formats() { return kFormats; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Format& format : kFormats) {
    if (same_name(format.name, name)) return format.dtype;
  }
  return std::nullopt;
}

int64_t bytes_of(DType dtype, int64_t values) {
  const Format& format = format_of(dtype);
  return values / format.block_values * format.block_bytes;
}

void decode_values(const Tensor& tensor, int64_t begin, int64_t count, float* out) {
  if (tensor.dtype == DType::kInt8Grouped || tensor.dtype == DType::kTernaryGrouped) {
    decode_grouped(tensor, begin, count, out);
    return;
  }
  if (tensor.dtype == DType::kScaled) {
    decode_scaled(*tensor.scaled, begin, count, out);
    return;
  }
  const Format& format = format_of(tensor.dtype);
  BRISK_CHECK(format.decode != nullptr);
  BRISK_CHECK(begin % format.block_values == 0 && count % format.block_values == 0);
  format.decode(tensor.data.data() + bytes_of(tensor.dtype, begin), count, out);
}

}  // namespace brisk
