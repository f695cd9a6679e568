#include "model/synth/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "compute/sys/thread_team.h"
#include "model/checkpoint/gguf_model_writer.h"
#include "model/synth/vocabulary.h"

namespace brisk {
namespace {

constexpr double kDeviation = 0.02;
constexpr int64_t kChunkValues = int64_t{1} << 20;  // what a thread makes at a time
constexpr int kTableBits = 12;

// Equally probable values of N(0, 1): element i lies in the middle of the i-th of 2^12 slices.
using GaussianTable = std::array<float, size_t{1} << kTableBits>;

double gaussian_density(double x) { return std::exp(-x * x / 2); }

// Integrates dx = dp / density outwards from the median; a slice is 1 / 2^12 of probability.
GaussianTable make_gaussian_table() {
  GaussianTable table;
  constexpr size_t kHalf = size_t{1} << (kTableBits - 1);
  constexpr int kSteps = 64;
  const double slice = std::sqrt(2 * M_PI) / static_cast<double>(table.size());
  double x = 0;
  const auto advance = [&x](double distance) {
    for (int i = 0; i < kSteps; ++i) {  // midpoint rule
      const double half_step = distance / (2 * kSteps) / gaussian_density(x);
      x += distance / kSteps / gaussian_density(x + half_step);
    }
  };
  advance(slice / 2);
  for (size_t i = 0; i < kHalf; ++i) {
    table[kHalf + i] = static_cast<float>(x);
    table[kHalf - 1 - i] = static_cast<float>(-x);
    if (i + 1 < kHalf) advance(slice);
  }
  return table;
}

// Values [begin, begin + count) of a tensor. REQUIRES: begin is a multiple of 8.
void fill_gaussian(RngKey key, int64_t begin, int64_t count, float deviation, float* out) {
  static const GaussianTable kTable = make_gaussian_table();
  for (int64_t i = 0; i < count; i += 8) {
    const std::array<uint32_t, 4> words = philox(key, static_cast<uint64_t>((begin + i) / 8));
    const int64_t here = std::min<int64_t>(8, count - i);
    for (int64_t j = 0; j < here; ++j) {
      const uint32_t bits = words[static_cast<size_t>(j / 2)] >> (j % 2 * 16) & 0xFFFF;
      out[i + j] = deviation * kTable[bits >> (16 - kTableBits)];
    }
  }
}

// Formats with smaller blocks for rows that `wanted` does not divide.
DType fitting(DType wanted, int64_t row) {
  if (row % format_of(wanted).block_values == 0) return wanted;
  const bool coarse = wanted == DType::kQ4_K || wanted == DType::kQ4_0;
  const DType smaller = coarse ? DType::kQ5_0 : DType::kQ8_0;
  return row % format_of(smaller).block_values == 0 ? smaller : DType::kF16;
}

// llama.cpp's Q4_K_M: q6_k for the head and for the first, the last and every third of the other
// value and down projections; q4_k for the rest.
DType q4_k_m(std::string_view name, const ModelConfig& config) {
  const bool tied = config.tied_embeddings == true;
  if (name == "output.weight" || (tied && name == "token_embd.weight")) return DType::kQ6_K;
  const bool sensitive = name.find("attn_v.") != std::string_view::npos ||
                         name.find("ffn_down") != std::string_view::npos;
  if (!sensitive) return DType::kQ4_K;
  int64_t layer = 0;
  for (const char digit : name.substr(4)) {  // "blk.17.attn_v.weight"
    if (digit < '0' || digit > '9') break;
    layer = layer * 10 + (digit - '0');
  }
  const int64_t eighth = config.layers / 8;
  const bool better = layer < eighth || layer >= 7 * config.layers / 8 || (layer - eighth) % 3 == 2;
  return better ? DType::kQ6_K : DType::kQ4_K;
}

// Chooses every tensor's format. Errors: InvalidArgument for formats brisk cannot write.
absl::Status choose_formats(const std::string& name, const ModelConfig& config,
                            std::vector<TensorPlan>& tensors) {
  const std::optional<DType> dtype = dtype_from_name(name);
  const bool mix = name == "q4_k_m";
  if (!mix && (!dtype.has_value() || format_of(*dtype).encode == nullptr)) {
    std::string known;
    for (const Format& format : formats()) {
      if (format.encode != nullptr) known += fmt::format("{}, ", format.name);
    }
    return invalid_input("the format \"{}\" cannot be written; these can: {}q4_k_m", name, known);
  }
  for (TensorPlan& tensor : tensors) {
    // Vectors and the small router stay exact.
    if (tensor.shape.size() < 2 || tensor.name.find("ffn_gate_inp") != std::string::npos) continue;
    const DType wanted = mix ? q4_k_m(tensor.name, config) : *dtype;
    tensor.dtype = fitting(wanted, tensor.shape.back());
  }
  return absl::OkStatus();
}

// GGUF's numbers for the format of most of a file (llama.cpp's llama_ftype).
uint32_t file_type(const std::string& name) {
  constexpr std::pair<std::string_view, uint32_t> kTypes[] = {
      {"f32", 0},  {"f16", 1},   {"q4_0", 2},    {"q4_1", 3},  {"q8_0", 7},  {"q5_0", 8},
      {"q5_1", 9}, {"q4_k", 14}, {"q4_k_m", 15}, {"q6_k", 18}, {"bf16", 32},
  };
  for (const auto& [known, number] : kTypes) {
    if (known == name) return number;
  }
  return 0;
}

// Makes the bytes of one tensor after another, `threads` chunks at a time.
class Weights {
 public:
  Weights(const ModelConfig& config, const SynthOptions& options, TensorFileWriter& writer,
          uint64_t bytes_total)
      : config_(config),
        options_(options),
        writer_(writer),
        bytes_total_(bytes_total),
        team_(std::max(1, options.threads)),
        chunks_(static_cast<size_t>(team_.size())) {}

  absl::Status write(const TensorPlan& tensor, uint64_t stream) {
    int64_t values = 1;
    for (const int64_t extent : tensor.shape) values *= extent;
    if (tensor.name == "rope_freqs.weight") {
      const std::vector<float> factors = llama3_rope_factors(config_);
      return writer_.append(std::as_bytes(std::span(factors)));
    }
    const RngKey key = {.seed = options_.seed, .stream = stream};
    const int64_t round = kChunkValues * team_.size();
    for (int64_t begin = 0; begin < values; begin += round) {
      team_.run([&](Worker worker) {
        const int64_t at = begin + worker.index * kChunkValues;
        chunks_[static_cast<size_t>(worker.index)].make(
            tensor, key, at, std::clamp<int64_t>(values - at, 0, kChunkValues));
      });
      for (const Chunk& chunk : chunks_) {
        if (!chunk.bytes.empty()) BRISK_RETURN_IF_ERROR(writer_.append(chunk.bytes));
      }
      if (options_.on_progress) options_.on_progress(writer_.bytes_written(), bytes_total_);
    }
    return absl::OkStatus();
  }

 private:
  struct Chunk {
    std::vector<float> values;
    std::vector<std::byte> bytes;

    void make(const TensorPlan& tensor, RngKey key, int64_t begin, int64_t count) {
      const bool norm = tensor.name.find("norm.") != std::string::npos;
      values.resize(static_cast<size_t>(count));
      bytes.resize(static_cast<size_t>(bytes_of(tensor.dtype, count)));
      if (count == 0) return;
      fill_gaussian(key, begin, count, static_cast<float>(kDeviation), values.data());
      for (float& value : values) value += norm ? 1.0f : 0.0f;
      format_of(tensor.dtype).encode(values.data(), count, bytes.data());
    }
  };

  const ModelConfig& config_;
  const SynthOptions& options_;
  TensorFileWriter& writer_;
  const uint64_t bytes_total_;
  ThreadTeam team_;
  std::vector<Chunk> chunks_;
};

}  // namespace

absl::StatusOr<SynthResult> write_synthetic(const Shape& shape, const SynthOptions& options,
                                            const std::string& path) {
  ModelConfig config = shape.config;
  config.name = fmt::format("synthetic {}", shape.name);
  std::vector<TensorPlan> tensors = tensors_of(config);
  BRISK_RETURN_IF_ERROR(choose_formats(options.format, config, tensors));
  const TokenizerData tokenizer =
      synthetic_tokenizer(shape.vocabulary, static_cast<int32_t>(config.vocab_size));
  BRISK_ASSIGN_OR_RETURN(GgufHeader header,
                         gguf_header(config, tokenizer, synthetic_chat_template(shape.vocabulary)));
  header.u32("general.file_type", file_type(options.format));
  SynthResult result;
  uint64_t bytes_total = 0;
  for (const TensorPlan& tensor : tensors) {
    int64_t values = 1;
    for (const int64_t extent : tensor.shape) values *= extent;
    result.parameters += static_cast<uint64_t>(values);
    bytes_total += static_cast<uint64_t>(bytes_of(tensor.dtype, values));
  }
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_gguf(path, header, tensors));
  Weights weights(config, options, writer, writer.bytes_written() + bytes_total);
  for (size_t i = 0; i < tensors.size(); ++i) {
    BRISK_RETURN_IF_ERROR(weights.write(tensors[i], i));
  }
  BRISK_RETURN_IF_ERROR(writer.finish());
  result.bytes = writer.bytes_written();
  return result;
}

}  // namespace brisk
