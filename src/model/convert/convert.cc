#include "model/convert/convert.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/quant/scaled_scheme.h"
#include "model/checkpoint/compressed_tensors.h"
#include "model/checkpoint/format_choice.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_model_writer.h"
#include "model/checkpoint/hf_config_writer.h"
#include "model/checkpoint/quality_report.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_writer.h"
#include "model/checkpoint/tensor_encoder.h"
#include "model/convert/hf_tokenizer.h"
#include "model/convert/scaled_rounding.h"
#include "model/convert/target.h"
#include "model/convert/tensors.h"
#include "model/low_rank.h"

namespace brisk {
namespace {

bool can_hold(Layout layout, DType dtype) {
  const bool float_or_block = format_of(dtype).decode != nullptr && dtype != DType::kF64;
  if (!float_or_block) return false;
  return layout == Layout::kHuggingFace ? safetensors_dtype(dtype).has_value()
                                        : ggml_type(dtype).has_value();
}

// Vectors stay f32; matrices get what was asked for, or keep their format, or get one that loses
// least: f32 for llama2.c's integers, f16 for blocks and codes with scales of their own.
absl::Status choose_formats(const Conversion& conversion, const std::optional<FormatChoice>& choice,
                            std::vector<ConvertedTensor>& tensors) {
  const ModelConfig& config = conversion.config;
  for (ConvertedTensor& tensor : tensors) {
    DType& dtype = tensor.plan.dtype;
    if (tensor.plan.shape.size() < 2 || tensor.sources.empty()) {
      dtype = DType::kF32;
    } else if (choice.has_value()) {
      dtype = choice->of(tensor.plan, config.layers, config.tied_embeddings == true);
    } else if (!can_hold(config.layout, dtype)) {
      const int block = format_of(dtype).block_values;
      const bool coarse = block == 32 || block == 256 || dtype == DType::kScaled;
      dtype = coarse ? DType::kF16 : DType::kF32;
    }
    const bool encodes = format_of(dtype).encode != nullptr;
    if (!encodes && !tensor.is_copy() && !tensor.keeps_bytes()) {
      return unsupported("{} in {} must be rewritten; choose another format with --dtype",
                         tensor.plan.name, format_of(dtype).name);
    }
    if (!can_hold(config.layout, dtype)) {
      return invalid_input("safetensors cannot hold {}; choose f32, f16 or bf16",
                           format_of(dtype).name);
    }
  }
  return absl::OkStatus();
}

using Rounding = std::optional<ScaledRounding>;

// What the file will hold; a matrix of integer codes is several tensors.
std::vector<TensorPlan> plans_of(const std::vector<ConvertedTensor>& tensors,
                                 const Rounding& rounding) {
  std::vector<TensorPlan> plans;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorPlan& plan = tensors[i].plan;
    if (!rounding.has_value() || !rounding->rounds[i]) {
      plans.push_back(plan);
      continue;
    }
    const auto parts =
        scaled_matrix_plans(rounding->scheme, plan.name, plan.shape[0], plan.shape[1]);
    plans.insert(plans.end(), parts.begin(), parts.end());
  }
  return plans;
}

absl::StatusOr<uint64_t> write_tensors(TensorFileWriter& writer,
                                       std::vector<ConvertedTensor>& tensors,
                                       const Rounding& rounding, const ConvertOptions& options) {
  uint64_t total = writer.bytes_written();
  for (const TensorPlan& plan : plans_of(tensors, rounding)) {
    total += static_cast<uint64_t>(bytes_of(plan.dtype, values_of(plan.shape)));
  }
  TensorEncoder encoder(writer, std::max(1, options.threads));
  ThreadTeam team(rounding.has_value() ? std::max(1, options.threads) : 1);
  if (options.on_progress) {
    encoder.on_progress = [&](uint64_t bytes) { options.on_progress(bytes, total); };
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    ConvertedTensor& tensor = tensors[i];
    if (rounding.has_value() && rounding->rounds[i]) {
      BRISK_ASSIGN_OR_RETURN(const ScaledCodes codes, round_tensor(rounding->scheme, tensor, team));
      BRISK_RETURN_IF_ERROR(append_scaled_matrix(rounding->scheme, codes, writer));
      if (options.on_progress) options.on_progress(writer.bytes_written(), total);
      continue;
    }
    if (tensor.is_copy() && tensor.plan.dtype == tensor.sources.front()->dtype) {
      BRISK_RETURN_IF_ERROR(writer.append(tensor.sources.front()->data));
      continue;
    }
    if (tensor.keeps_bytes()) {
      const int64_t height = values_of(tensor.plan.shape) / tensor.plan.shape.back();
      for (int64_t row = 0; row < height; ++row) {
        BRISK_RETURN_IF_ERROR(writer.append(tensor.row_bytes(row)));
      }
      continue;
    }
    tensor.prepare();
    BRISK_RETURN_IF_ERROR(encoder.write(
        tensor.plan,
        [&tensor](int64_t begin, int64_t count, float* out) { tensor.rows(begin, count, out); }));
    tensor.release();
  }
  BRISK_RETURN_IF_ERROR(writer.finish());
  return writer.bytes_written();
}

// Whether the target computes what the source does, so that what was measured of one holds of the
// other: every value is the same.
bool keeps_values(const std::vector<ConvertedTensor>& tensors) {
  return std::ranges::all_of(tensors, [](const ConvertedTensor& tensor) {
    if (tensor.sources.empty() || tensor.shift != 0) return false;
    return std::ranges::all_of(tensor.sources, [&](const Tensor* source) {
      const DType from = source->dtype, to = tensor.plan.dtype;
      if (is_float(from) && (to == from || to == DType::kF32)) return true;
      return tensor.is_copy() && to == from;
    });
  });
}

int64_t low_rank_matrices(const std::vector<ConvertedTensor>& tensors) {
  return std::ranges::count_if(tensors, [](const ConvertedTensor& tensor) {
    return is_factor(tensor.plan.name, Factor::kA);
  });
}

absl::StatusOr<TensorFileWriter> begin_gguf(const std::string& out, const Conversion& conversion,
                                            const std::optional<FormatChoice>& choice,
                                            const std::vector<ConvertedTensor>& tensors,
                                            ConvertResult& result) {
  const Checkpoint& source = *conversion.source;
  auto header = gguf_header(conversion.config, source.tokenizer, source.chat_template);
  result.tokenizer = source.tokenizer.kind == TokenizerKind::kNone ? "there is none" : "written";
  if (!header.ok()) {
    // A model without its tokenizer is still of use.
    result.tokenizer = fmt::format("left out: {}", message_of(header.status()));
    header = gguf_header(conversion.config, TokenizerData(), source.chat_template);
    BRISK_RETURN_IF_ERROR(header.status());
  }
  if (choice.has_value()) header->u32("general.file_type", choice->file_type());
  if (result.report_kept) header->text(kQualityReportKey, quality_report_of(source));
  if (const int64_t count = low_rank_matrices(tensors); count > 0) {
    header->u32(kLowRankKey, static_cast<uint32_t>(count));
  }
  return create_gguf(out, *header, plans_of(tensors, std::nullopt));
}

// A Hugging Face model keeps its own configuration; only the weights' format is another.
Json config_of(const Conversion& conversion, DType dtype) {
  const Json& metadata = conversion.source->metadata;
  const bool same_layout = conversion.source->config.layout == Layout::kHuggingFace;
  if (!same_layout || conversion.config.architecture == "bitnet" || !metadata.contains("config") ||
      metadata["config"].contains("text_config")) {
    return hf_config(conversion.config, conversion.spec, dtype);
  }
  Json config = metadata["config"];
  config.erase("quantization_config");
  config.erase("compression_config");
  config[config.contains("dtype") ? "dtype" : "torch_dtype"] = torch_dtype(dtype);
  return config;
}

absl::StatusOr<TensorFileWriter> begin_directory(const std::string& in, const std::string& out,
                                                 const Conversion& conversion,
                                                 const std::vector<ConvertedTensor>& tensors,
                                                 const Rounding& rounding, ConvertResult& result) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(out, error);
  if (error) return system_error("{}: cannot create: {}", out, error.message());
  if (fs::equivalent(in, out, error)) {
    return invalid_input("{}: a directory cannot be converted onto itself", out);
  }
  const DType dtype = tensors.front().plan.dtype;
  Json config = config_of(conversion, dtype);
  config.erase(kLowRankKey);
  if (const int64_t count = low_rank_matrices(tensors); count > 0) config[kLowRankKey] = count;
  if (rounding.has_value()) {
    config["quantization_config"] = quantization_config_of(rounding->scheme, rounding->ignored);
  }
  BRISK_RETURN_IF_ERROR(write_file_atomically(out + "/config.json", config.dump(2) + "\n"));
  BRISK_ASSIGN_OR_RETURN(result.tokenizer, write_hf_tokenizer(in, out, *conversion.source));
  std::map<std::string, std::string> extra;
  if (result.report_kept) extra[kQualityReportKey] = quality_report_of(*conversion.source);
  return create_safetensors(out + "/model.safetensors", plans_of(tensors, rounding), extra);
}

}  // namespace

absl::StatusOr<ConvertResult> convert_checkpoint(const std::string& in, const std::string& out,
                                                 const ConvertOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = options.tokenizer_path}));
  return write_checkpoint(*source, in, out, options);
}

absl::StatusOr<ConvertResult> write_checkpoint(const Checkpoint& source, const std::string& in,
                                               const std::string& out,
                                               const ConvertOptions& options) {
  std::optional<FormatChoice> choice;
  const std::optional<ScaledScheme> scheme = scaled_scheme(options.dtype);
  const bool gguf = out.ends_with(".gguf");
  if (scheme.has_value() && gguf) {
    return invalid_input("{} is a format of Hugging Face directories; give one instead of {}",
                         options.dtype, out);
  }
  if (!options.dtype.empty() && !scheme.has_value()) {
    BRISK_ASSIGN_OR_RETURN(choice, FormatChoice::parse(options.dtype));
  }
  auto conversion = plan_conversion(source, gguf ? Layout::kGguf : Layout::kHuggingFace);
  if (!conversion.ok()) return annotate(conversion.status(), in);
  ConvertResult result;
  BRISK_ASSIGN_OR_RETURN(std::vector<ConvertedTensor> tensors,
                         plan_tensors(*conversion, &result.unplaced));
  BRISK_RETURN_IF_ERROR(choose_formats(*conversion, choice, tensors));
  result.tensors = static_cast<int64_t>(tensors.size());
  if (!quality_report_of(source).empty()) {
    const bool holds = keeps_values(tensors) && !scheme.has_value();
    (holds ? result.report_kept : result.report_dropped) = true;
  }
  Rounding rounding;
  if (scheme.has_value()) {
    BRISK_ASSIGN_OR_RETURN(rounding, plan_scaled_rounding(*conversion, *scheme, tensors));
  }
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer,
                         gguf ? begin_gguf(out, *conversion, choice, tensors, result)
                              : begin_directory(in, out, *conversion, tensors, rounding, result));
  BRISK_ASSIGN_OR_RETURN(result.bytes, write_tensors(writer, tensors, rounding, options));
  return result;
}

}  // namespace brisk
