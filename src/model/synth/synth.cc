#include "model/synth/synth.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "compute/quant/format.h"
#include "model/checkpoint/format_choice.h"
#include "model/checkpoint/gguf_model_writer.h"
#include "model/checkpoint/tensor_encoder.h"
#include "model/convert/rope_factors.h"
#include "model/synth/vocabulary.h"

namespace brisk {
namespace {

constexpr double kDeviation = 0.02;
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

// What methods of pruning leave zeros in.
bool is_pruned(const TensorPlan& tensor, const SynthOptions& options) {
  if (!options.sparsity.any()) return false;
  if (tensor.name == "token_embd.weight" || tensor.name == "output.weight") {
    return options.sparse_head;
  }
  return tensor.name.starts_with("blk.") && tensor.name.ends_with(".weight") &&
         tensor.shape.size() > 1 && tensor.name.find("ffn_gate_inp") == std::string::npos;
}

// What fills a tensor: rows have a multiple of 8 values.
TensorEncoder::Rows rows_of(const TensorPlan& tensor, const ModelConfig& config,
                            const SynthOptions& options, RngKey key) {
  if (tensor.name == "rope_freqs.weight") {
    return [factors = llama3_rope_factors(config)](int64_t, int64_t, float* out) {
      std::copy(factors.begin(), factors.end(), out);
    };
  }
  const int64_t width = tensor.shape.back();
  const float mean = tensor.name.find("norm.") != std::string::npos ? 1.0f : 0.0f;
  const bool pruned = is_pruned(tensor, options);
  return [=, sparsity = options.sparsity](int64_t begin, int64_t count, float* out) {
    fill_gaussian(key, begin * width, count * width, static_cast<float>(kDeviation), out);
    for (int64_t i = 0; mean != 0 && i < count * width; ++i) out[i] += mean;
    for (int64_t i = 0; pruned && i < count; ++i) {
      sparsity.prune({out + i * width, static_cast<size_t>(width)});
    }
  };
}

}  // namespace

absl::StatusOr<SynthResult> write_synthetic(const Shape& shape, const SynthOptions& options,
                                            const std::string& path) {
  ModelConfig config = shape.config;
  config.name = fmt::format("synthetic {}", shape.name);
  BRISK_ASSIGN_OR_RETURN(const FormatChoice choice, FormatChoice::parse(options.format));
  std::vector<TensorPlan> tensors = tensors_of(config);
  SynthResult result;
  uint64_t bytes_total = 0;
  for (TensorPlan& tensor : tensors) {
    tensor.dtype = choice.of(tensor, config.layers, config.tied_embeddings == true);
    const int64_t values = values_of(tensor.shape);
    result.parameters += static_cast<uint64_t>(values);
    bytes_total += static_cast<uint64_t>(bytes_of(tensor.dtype, values));
  }
  const TokenizerData tokenizer =
      synthetic_tokenizer(shape.vocabulary, static_cast<int32_t>(config.vocab_size));
  BRISK_ASSIGN_OR_RETURN(GgufHeader header,
                         gguf_header(config, tokenizer, synthetic_chat_template(shape.vocabulary)));
  header.u32("general.file_type", choice.file_type());
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_gguf(path, header, tensors));
  TensorEncoder encoder(writer, std::max(1, options.threads));
  if (options.on_progress) {
    encoder.on_progress = [&, total = writer.bytes_written() + bytes_total](uint64_t bytes) {
      options.on_progress(bytes, total);
    };
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const RngKey key = {.seed = options.seed, .stream = i};
    BRISK_RETURN_IF_ERROR(encoder.write(tensors[i], rows_of(tensors[i], config, options, key)));
  }
  BRISK_RETURN_IF_ERROR(writer.finish());
  result.bytes = writer.bytes_written();
  return result;
}

}  // namespace brisk
