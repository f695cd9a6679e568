#include "compute/quant/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "compute/quant/codecs.h"
#include "compute/quant/grids.h"
#include "compute/tensor/half.h"

namespace brisk {
namespace {

using Bytes = std::vector<std::byte>;

std::vector<float> gaussians(size_t count, float deviation) {
  Rng rng(17);
  std::vector<float> values(count);
  for (float& value : values) value = deviation * static_cast<float>(rng.next_gaussian());
  return values;
}

std::vector<float> decoded(DType dtype, const Bytes& bytes) {
  const Format& format = format_of(dtype);
  const size_t blocks = bytes.size() / static_cast<size_t>(format.block_bytes);
  std::vector<float> values(blocks * static_cast<size_t>(format.block_values));
  format.decode(bytes.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

Bytes encoded(DType dtype, const std::vector<float>& values) {
  Bytes bytes(static_cast<size_t>(bytes_of(dtype, static_cast<int64_t>(values.size()))));
  format_of(dtype).encode(values.data(), static_cast<int64_t>(values.size()), bytes.data());
  return bytes;
}

void put_f16(Bytes& bytes, size_t at, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(bytes.data() + at, &bits, sizeof bits);
}

void put(Bytes& bytes, size_t at, int value) { bytes[at] = static_cast<std::byte>(value); }

TEST(Formats, NamesAreFoundInAnyCase) {
  EXPECT_EQ(dtype_from_name("Q4_K"), DType::kQ4_K);
  EXPECT_EQ(dtype_from_name("bf16"), DType::kBF16);
  EXPECT_EQ(dtype_from_name("q4"), std::nullopt);
  for (const Format& format : formats()) EXPECT_EQ(dtype_from_name(format.name), format.dtype);
}

TEST(Formats, BytesCountWholeBlocks) {
  EXPECT_EQ(bytes_of(DType::kF32, 3), 12);
  EXPECT_EQ(bytes_of(DType::kQ8_0, 64), 68);
  EXPECT_EQ(bytes_of(DType::kQ6_K, 512), 420);
  EXPECT_EQ(bytes_of(DType::kTernaryGrouped, 8), 2);
}

TEST(Q8_0, DecodesWithOneMultiplication) {
  Bytes block(34);
  put_f16(block, 0, 0.5f);
  put(block, 2, 127);
  put(block, 3, -128);
  put(block, 33, 3);
  const auto values = decoded(DType::kQ8_0, block);
  EXPECT_EQ(values[0], 63.5f);
  EXPECT_EQ(values[1], -64.0f);
  EXPECT_EQ(values[2], 0.0f);
  EXPECT_EQ(values[31], 1.5f);
}

TEST(Q4_0, DecodesLowHalvesFirst) {
  Bytes block(18);
  put_f16(block, 0, 2.0f);
  put(block, 2, 0xF0);
  put(block, 17, 0x9A);
  const auto values = decoded(DType::kQ4_0, block);
  EXPECT_EQ(values[0], -16.0f);
  EXPECT_EQ(values[16], 14.0f);
  EXPECT_EQ(values[15], 4.0f);
  EXPECT_EQ(values[31], 2.0f);
}

TEST(Q4_1, AddsTheMinimum) {
  Bytes block(20);
  put_f16(block, 0, 0.25f);
  put_f16(block, 2, -1.0f);
  put(block, 4, 0x8F);
  const auto values = decoded(DType::kQ4_1, block);
  EXPECT_EQ(values[0], 2.75f);
  EXPECT_EQ(values[16], 1.0f);
  EXPECT_EQ(values[1], -1.0f);
}

TEST(Q5_0, TakesTheFifthBitFromItsOwnWord) {
  Bytes block(22);
  put_f16(block, 0, 1.0f);
  put(block, 2, 0x01);  // value 0
  put(block, 5, 0x80);  // value 31
  put(block, 6, 0x03);
  put(block, 21, 0x50);
  const auto values = decoded(DType::kQ5_0, block);
  EXPECT_EQ(values[0], 3.0f);
  EXPECT_EQ(values[16], -16.0f);
  EXPECT_EQ(values[31], 5.0f);
}

TEST(Q5_1, TakesTheFifthBitAndAddsTheMinimum) {
  Bytes block(24);
  put_f16(block, 0, 2.0f);
  put_f16(block, 2, 10.0f);
  put(block, 6, 0x01);  // value 16
  put(block, 8, 0x21);
  const auto values = decoded(DType::kQ5_1, block);
  EXPECT_EQ(values[0], 12.0f);
  EXPECT_EQ(values[16], 46.0f);
}

TEST(Q2_K, ReadsFourValuesAByteAcrossRuns) {
  Bytes block(84);
  put(block, 0, 0x23);         // run 0: scale 3, minimum 2
  put(block, 2, 0x01);         // run 2 (values 32..47): scale 1
  put(block, 15, 0xF2);        // run 15: scale 2, minimum 15
  put(block, 16, 0b00001101);  // values 0 (1), 32 (3)
  put(block, 79, 0b11000000);  // value 255 (3)
  put_f16(block, 80, 0.5f);
  put_f16(block, 82, 0.25f);
  const auto values = decoded(DType::kQ2_K, block);
  EXPECT_EQ(values[0], 0.5f * 3 * 1 - 0.25f * 2);
  EXPECT_EQ(values[1], -0.5f);
  EXPECT_EQ(values[32], 1.5f);
  EXPECT_EQ(values[255], 0.5f * 2 * 3 - 0.25f * 15);
}

TEST(Q3_K, AssemblesScalesAndThirdBits) {
  Bytes block(110);
  put(block, 0, 0x01);          // third bit of value 0
  put(block, 31, 0x80);         // third bit of value 255
  put(block, 32, 0b00000010);   // value 0: low bits 2
  put(block, 95, 0b01000000);   // value 255: low bits 1
  put(block, 96, 0x05);         // run 0, low half 5
  put(block, 103, 0x70);        // run 15, low half 7
  put(block, 104, 0b00000011);  // run 0: high 3 -> 53
  put(block, 107, 0b01000000);  // run 15: high 1 -> 23
  put_f16(block, 108, 2.0f);
  const auto values = decoded(DType::kQ3_K, block);
  EXPECT_EQ(values[0], 2.0f * (53 - 32) * 2);
  EXPECT_EQ(values[1], 2.0f * (53 - 32) * -4);
  EXPECT_EQ(values[255], 2.0f * (23 - 32) * 1);
}

TEST(Q4_K, AssemblesSixBitScalesAndMinimums) {
  Bytes block(144);
  put_f16(block, 0, 0.5f);
  put_f16(block, 2, 2.0f);
  put(block, 4, 0x80 | 7);    // scale 0 = 7; high bits of scale 4 = 2
  put(block, 8, 0x40 | 9);    // minimum 0 = 9; high bits of minimum 4 = 1
  put(block, 12, 0x53);       // scale 4 = 3 + 32, minimum 4 = 5 + 16
  put(block, 16, 0xA4);       // value 0 code 4, value 32 code 10
  put(block, 16 + 64, 0x06);  // value 128 code 6
  const auto values = decoded(DType::kQ4_K, block);
  EXPECT_EQ(values[0], 0.5f * 7 * 4 - 2.0f * 9);
  EXPECT_EQ(values[32], 0.0f);  // run 1 has scale 0
  EXPECT_EQ(values[128], 0.5f * 35 * 6 - 2.0f * 21);
}

TEST(Q5_K, TakesTheFifthBitOfEachRun) {
  Bytes block(176);
  put_f16(block, 0, 1.0f);
  put(block, 5, 3);      // scale 1 = 3
  put(block, 16, 0b10);  // value 32
  put(block, 48, 0x70);  // value 32 code 7
  const auto values = decoded(DType::kQ5_K, block);
  EXPECT_EQ(values[32], 3.0f * 23);
  EXPECT_EQ(values[33], 0.0f);
}

TEST(Q6_K, AssemblesSixBitCodes) {
  Bytes block(210);
  put(block, 0, 0x21);          // value 0 low 1, value 64 low 2
  put(block, 128, 0b11100100);  // values 0: 0, 32: 1, 64: 2, 96: 3
  put(block, 192, 5);           // run 0
  put(block, 196, -7);          // run 4 (values 64..79)
  put(block, 198, 1);           // run 6 (values 96..111)
  put_f16(block, 208, 0.5f);
  const auto values = decoded(DType::kQ6_K, block);
  EXPECT_EQ(values[0], 0.5f * 5 * (1 - 32));
  EXPECT_EQ(values[64], 0.5f * -7 * (34 - 32));
  EXPECT_EQ(values[96], 0.5f * 1 * (48 - 32));
}

TEST(Iq4Nl, LooksValuesUp) {
  Bytes block(18);
  put_f16(block, 0, 2.0f);
  put(block, 2, 0xF0);
  const auto values = decoded(DType::kIQ4_NL, block);
  EXPECT_EQ(values[0], -254.0f);
  EXPECT_EQ(values[16], 226.0f);
}

TEST(F8E4M3, HasSubnormalsAndNoInfinities) {
  const std::vector<std::pair<int, float>> codes = {
      {0x00, 0.0f}, {0x01, 0x1p-9f}, {0x07, 7 * 0x1p-9f}, {0x08, 0x1p-6f}, {0x38, 1.0f},
      {0x3C, 1.5f}, {0xC4, -3.0f},   {0x7E, 448.0f},      {0xFE, -448.0f}};
  for (const auto& [code, value] : codes) {
    const std::byte byte = static_cast<std::byte>(code);
    float out = 1;
    format_of(DType::kF8E4M3).decode(&byte, 1, &out);
    EXPECT_EQ(out, value) << code;
  }
  for (const int code : {0x7F, 0xFF}) {
    const std::byte byte = static_cast<std::byte>(code);
    float out = 1;
    format_of(DType::kF8E4M3).decode(&byte, 1, &out);
    EXPECT_TRUE(std::isnan(out)) << code;
  }
}

TEST(F8E4M3, RoundsToTheNearest) {
  std::vector<float> levels;
  for (int code = 0; code < 127; ++code) {
    const auto byte = static_cast<uint8_t>(code);
    levels.push_back(quant::e4m3_to_f32(byte));
    EXPECT_EQ(quant::f32_to_e4m3(levels.back()), byte);
    EXPECT_EQ(quant::f32_to_e4m3(-levels.back()), code == 0 ? 0 : code | 0x80);
  }
  Rng rng(3);
  for (int i = 0; i < 20000; ++i) {
    const float value = static_cast<float>(rng.next_gaussian()) *
                        std::exp2(static_cast<float>(rng.next_below(20)) - 11);
    const float rounded = quant::e4m3_to_f32(quant::f32_to_e4m3(value));
    float least = INFINITY;
    for (const float level : levels) least = std::min(least, std::abs(std::abs(value) - level));
    EXPECT_EQ(std::abs(value - rounded), least) << value;
  }
  // Ties go to even codes, all beyond the largest to that.
  EXPECT_EQ(quant::f32_to_e4m3(1.0625f), quant::f32_to_e4m3(1.0f));
  EXPECT_EQ(quant::f32_to_e4m3(1.1875f), quant::f32_to_e4m3(1.25f));
  EXPECT_EQ(quant::e4m3_to_f32(quant::f32_to_e4m3(1e30f)), 448.0f);
  EXPECT_EQ(quant::e4m3_to_f32(quant::f32_to_e4m3(-INFINITY)), -448.0f);
  EXPECT_EQ(quant::f32_to_e4m3(NAN), 0);
  EXPECT_EQ(quant::f32_to_e4m3(-0.0f), 0);
}

// Value 0 of the first half is in the lowest bits of byte 0, value 224 in the highest of byte 32.
TEST(Tq2, HoldsFourValuesAByte) {
  Bytes block(66, std::byte{0x55});  // zeros
  block[0] = std::byte{0x56};
  block[32] = std::byte{0x15};
  put_f16(block, 64, 0.5f);
  const auto values = decoded(DType::kTQ2_0, block);
  for (int i = 0; i < 256; ++i) {
    const float expected = i == 0 ? 0.5f : i == 224 ? -0.5f : 0.0f;
    ASSERT_EQ(values[static_cast<size_t>(i)], expected) << i;
  }
}

TEST(Tq2, IsSearchedForTheLeastError) {
  Rng rng(4);
  std::vector<float> values(256);
  for (float& value : values) value = static_cast<float>(rng.next_gaussian());
  const auto loss = [&](const Bytes& block) {
    const auto back = decoded(DType::kTQ2_0, block);
    double sum = 0;
    for (size_t i = 0; i < 256; ++i) {
      sum += std::pow(static_cast<double>(back[i] - values[i]), 2);
    }
    return sum;
  };
  Bytes block(66);
  encode_searched(*grid_format(DType::kTQ2_0), values.data(), nullptr, 256, block.data());
  const double searched = loss(block);
  for (int step = 1; step < 200; ++step) {
    const float scale = 0.02f * static_cast<float>(step);
    const uint16_t half = f32_to_f16(scale);
    Bytes other(66);
    std::memcpy(other.data() + 64, &half, 2);
    int codes[256];
    for (size_t i = 0; i < 256; ++i) {
      codes[i] = std::clamp(static_cast<int>(std::lround(values[i] / scale)), -1, 1);
    }
    grid_format(DType::kTQ2_0)->store(codes, other.data());
    EXPECT_LE(searched, loss(other) * 1.001) << scale;
  }
}

TEST(Mxfp4, ScalesByAPowerOfTwo) {
  Bytes block(17);
  put(block, 0, 128);  // 2^1
  put(block, 1, 0xF7);
  put(block, 2, 0x01);
  auto values = decoded(DType::kMXFP4, block);
  EXPECT_EQ(values[0], 12.0f);
  EXPECT_EQ(values[16], -12.0f);
  EXPECT_EQ(values[1], 1.0f);
  put(block, 0, 0);  // 2^-127
  values = decoded(DType::kMXFP4, block);
  EXPECT_EQ(values[0], 6 * 0x1p-127f);
}

TEST(DecodeValues, AppliesSeparateScales) {
  const Bytes bytes = {std::byte{1}, std::byte{0xFE}, std::byte{3}, std::byte{4}};
  const float scales[] = {0.5f, 10.0f};
  Tensor tensor{.dtype = DType::kInt8Grouped,
                .shape = {1, 4},
                .data = bytes,
                .scales = scales,
                .scale_group = 2};
  float out[4];
  decode_values(tensor, 0, 4, out);
  EXPECT_EQ(out[1], -1.0f);
  EXPECT_EQ(out[2], 30.0f);
  decode_values(tensor, 3, 1, out);
  EXPECT_EQ(out[0], 40.0f);
}

TEST(DecodeValues, UnpacksTernaryLowestBitsFirst) {
  const Bytes bytes = {std::byte{0b11'00'01'11}, std::byte{0b01'00'11'01}};
  const float scales[] = {2.0f};
  const Tensor tensor{.dtype = DType::kTernaryGrouped,
                      .shape = {8},
                      .data = bytes,
                      .scales = scales,
                      .scale_group = 8};
  float out[8];
  decode_values(tensor, 0, 8, out);
  EXPECT_EQ(std::vector<float>(out, out + 8), (std::vector<float>{-2, 2, 0, -2, 2, -2, 0, 2}));
}

TEST(DecodeValues, StartsAtAnyBlock) {
  const auto values = gaussians(512, 1);
  for (const Format& format : formats()) {
    if (format.encode == nullptr) continue;
    const Bytes bytes = encoded(format.dtype, values);
    const Tensor tensor{.dtype = format.dtype, .shape = {2, 256}, .data = bytes, .scales = {}};
    std::vector<float> second(256);
    decode_values(tensor, 256, 256, second.data());
    const auto all = decoded(format.dtype, bytes);
    EXPECT_EQ(second, std::vector<float>(all.begin() + 256, all.end())) << format.name;
  }
}

// Root-mean-square error of an encoded gaussian, relative to its deviation.
struct ErrorBound {
  DType dtype;
  double relative_error_max;
};

class Encode : public testing::TestWithParam<ErrorBound> {};

TEST_P(Encode, StaysCloseToTheValues) {
  const auto values = gaussians(256 * 64, 0.02f);
  const auto back = decoded(GetParam().dtype, encoded(GetParam().dtype, values));
  double squares = 0, errors = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    squares += values[i] * values[i];
    errors += (values[i] - back[i]) * (values[i] - back[i]);
  }
  EXPECT_LT(std::sqrt(errors / squares), GetParam().relative_error_max);
}

TEST_P(Encode, KeepsZerosAndSurvivesAnyValue) {
  const std::vector<float> zeros(256, 0.0f);
  EXPECT_EQ(decoded(GetParam().dtype, encoded(GetParam().dtype, zeros)), zeros);
  auto wild = gaussians(512, 1e30f);
  wild[3] = std::numeric_limits<float>::infinity();
  wild[7] = std::numeric_limits<float>::quiet_NaN();
  wild[300] = 1e-40f;
  EXPECT_EQ(decoded(GetParam().dtype, encoded(GetParam().dtype, wild)).size(), wild.size());
}

INSTANTIATE_TEST_SUITE_P(
    Formats, Encode,
    testing::Values(ErrorBound{DType::kF32, 1e-30}, ErrorBound{DType::kF64, 1e-30},
                    ErrorBound{DType::kF16, 3e-4}, ErrorBound{DType::kBF16, 2.5e-3},
                    ErrorBound{DType::kQ8_0, 0.006}, ErrorBound{DType::kQ4_0, 0.092},
                    ErrorBound{DType::kQ4_1, 0.085}, ErrorBound{DType::kQ5_0, 0.046},
                    ErrorBound{DType::kQ5_1, 0.041}, ErrorBound{DType::kQ2_K, 0.32},
                    ErrorBound{DType::kQ4_K, 0.075}, ErrorBound{DType::kQ6_K, 0.019}),
    [](const auto& test) { return std::string(format_of(test.param.dtype).name); });

// What is on the format's grid comes back to the bit: the encoders add no error of their own.
TEST(EncodeAll, ReproducesWhatItDecodes) {
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ5_0}) {
    const auto once = decoded(dtype, encoded(dtype, gaussians(1024, 1)));
    EXPECT_EQ(decoded(dtype, encoded(dtype, once)), once) << format_of(dtype).name;
  }
}

}  // namespace
}  // namespace brisk
