#include "train/export.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/hf_config_writer.h"
#include "model/checkpoint/safetensors_writer.h"
#include "model/convert/convert.h"
#include "model/convert/hf_tokenizer.h"
#include "model/template/choose.h"
#include "model/tokenizer/read_tokenizer.h"

namespace brisk::train {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTemplateBytesMax = 1 << 20;

// The "chat_template" of a directory's tokenizer_config.json; empty: there is none.
std::string configured_template(const std::string& path) {
  const auto text = read_file(path + "/tokenizer_config.json", kTemplateBytesMax);
  if (!text.ok()) return "";
  const absl::StatusOr<Json> json = parse_json(*text);
  if (!json.ok() || !json->is_object()) return "";
  const auto found = json->find("chat_template");
  return found != json->end() && found->is_string() ? found->get<std::string>() : "";
}

ModelSpec spec_of(const DecoderShape& shape) {
  ModelSpec spec;
  spec.architecture = "llama";
  spec.vocab_size = static_cast<int>(shape.vocab);
  spec.hidden_size = static_cast<int>(shape.dim);
  spec.ffn_size = static_cast<int>(shape.ffn);
  spec.layers.resize(static_cast<size_t>(shape.layers));
  return spec;
}

absl::Status write_weights(const std::string& path, const std::vector<Weight*>& weights,
                           DType dtype) {
  const auto dtype_of = [dtype](const Weight& weight) {
    return weight.is_linear ? dtype : DType::kF32;
  };
  std::vector<TensorPlan> plans;
  for (const Weight* weight : weights) {
    for (const WeightPart& part : weight->parts) {
      std::vector<int64_t> shape = weight->master.sizes().vec();
      shape[0] = part.rows;
      plans.push_back({part.name, dtype_of(*weight), std::move(shape)});
    }
  }
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_safetensors(path, plans));
  for (const Weight* weight : weights) {
    const int64_t width = weight->master.dim() == 2 ? weight->master.size(1) : 1;
    const float* values = weight->seen.data_ptr<float>();
    for (const WeightPart& part : weight->parts) {
      const int64_t count = part.rows * width;
      const DType format = dtype_of(*weight);
      std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(format, count)));
      format_of(format).encode(values, count, bytes.data());
      BRISK_RETURN_IF_ERROR(writer.append(bytes));
      values += count;
    }
  }
  return writer.finish();
}

absl::Status write_directory(const std::string& out, const DecoderShape& shape,
                             const std::vector<Weight*>& weights, const RunTokenizer& tokenizer,
                             DType dtype) {
  std::error_code error;
  fs::create_directories(out, error);
  if (error) return system_error("{}: cannot create: {}", out, error.message());
  const TokenizerRules& rules = tokenizer.tokenizer->rules();
  Checkpoint source;  // what writers of tokenizers want to know
  source.config = config_of(shape);
  source.config.bos_token = rules.bos;
  source.config.eos_tokens = rules.end_of_generation;
  source.tokenizer = tokenizer.data;
  source.chat_template = tokenizer.chat_template;
  Json config = hf_config(source.config, spec_of(shape), dtype);
  Json generation = Json::object();
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    if (config.contains(key)) generation[key] = config[key];
  }
  BRISK_RETURN_IF_ERROR(write_hf_tokenizer(tokenizer.path, out, source).status());
  BRISK_RETURN_IF_ERROR(
      write_file_atomically(out + "/chat_template.jinja", tokenizer.chat_template));
  BRISK_RETURN_IF_ERROR(
      write_file_atomically(out + "/generation_config.json", generation.dump(2) + "\n"));
  BRISK_RETURN_IF_ERROR(write_weights(out + "/model.safetensors", weights, dtype));
  return write_file_atomically(out + "/config.json", config.dump(2) + "\n");
}

}  // namespace

absl::StatusOr<RunTokenizer> open_tokenizer(const std::string& path,
                                            const std::string& chat_template_path) {
  RunTokenizer run;
  run.path = path;
  BRISK_ASSIGN_OR_RETURN(run.data, read_tokenizer(path));
  BRISK_ASSIGN_OR_RETURN(run.tokenizer, Tokenizer::create(run.data));
  std::string template_path = chat_template_path;
  const std::string own = path + "/chat_template.jinja";
  if (template_path.empty() && fs::exists(own)) template_path = own;
  run.chat_template = configured_template(path);
  if (run.chat_template.empty()) run.chat_template = default_chat_template();
  if (!template_path.empty()) {
    BRISK_ASSIGN_OR_RETURN(run.chat_template, read_file(template_path, kTemplateBytesMax));
  }
  return run;
}

absl::Status export_model(const std::string& out, const DecoderShape& shape,
                          const std::vector<Weight*>& weights, const RunTokenizer& tokenizer,
                          const ExportSettings& settings) {
  if (!out.ends_with(".gguf")) {
    const std::optional<DType> dtype = dtype_from_name(settings.format);
    if (dtype != DType::kF32 && dtype != DType::kBF16 && dtype != DType::kF16) {
      return invalid_input(
          "a Hugging Face directory holds f32, f16 or bf16, not {}; give a name "
          "that ends in .gguf",
          settings.format);
    }
    return write_directory(out, shape, weights, tokenizer, *dtype);
  }
  const std::string exact = fmt::format("{}.{}.f32", out, ::getpid());
  absl::Status status = write_directory(exact, shape, weights, tokenizer, DType::kF32);
  if (status.ok()) {
    ConvertOptions options;
    options.dtype = settings.format;
    const auto converted = convert_checkpoint(exact, out, options);
    status = converted.status();
    if (converted.ok() && converted->tokenizer.starts_with("left out")) {
      spdlog::warn("{}: the tokenizer was {}; run it with --tokenizer", out, converted->tokenizer);
    }
  }
  std::error_code error;
  fs::remove_all(exact, error);
  return status;
}

absl::Status export_adapter(const std::string& out, const std::vector<Weight*>& weights,
                            const LoraSettings& settings, const std::string& base) {
  std::error_code error;
  fs::create_directories(out, error);
  if (error) return system_error("{}: cannot create: {}", out, error.message());
  std::vector<Weight*> adapters;
  for (Weight* weight : weights) {
    if (weight->parts.front().name.find(".lora_") != std::string::npos) adapters.push_back(weight);
  }
  const Json config = {
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path", base},
      {"r", settings.rank},
      {"lora_alpha", settings.alpha},
      {"lora_dropout", 0.0},
      {"bias", "none"},
      {"target_modules",
       {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}}};
  BRISK_RETURN_IF_ERROR(write_weights(out + "/adapter_model.safetensors", adapters, DType::kF32));
  return write_file_atomically(out + "/adapter_config.json", config.dump(2) + "\n");
}

}  // namespace brisk::train
