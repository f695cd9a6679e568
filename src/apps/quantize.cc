// brisk quantize: a model's weights in fewer bits.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "apps/command.h"
#include "apps/publish.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compress/evaluate/documents.h"
#include "compress/quantize/quantize.h"
#include "compress/quantize/smooth_kv.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"
#include "compute/quant/scaled_scheme.h"
#include "model/checkpoint/format_choice.h"

namespace brisk {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::string method;
  std::string calibration;
  std::string kv;  // format of the KV cache that weights are smoothed for; empty: they are not
  QuantizeOptions quantize;
  PublishOptions publish;
  bool json = false;
};

struct KvFormat {
  const char* name;
  KvElement element;
  KvDType dtype;
};
constexpr KvFormat kKvFormats[] = {{"int8", KvElement::kInt8, KvDType::kInt8},
                                   {"int4", KvElement::kInt4, KvDType::kInt4}};

const KvFormat& kv_format(std::string_view name) {
  return name == kKvFormats[0].name ? kKvFormats[0] : kKvFormats[1];
}

// What such a cache takes from the predictions, of the model as it was and of what was made of it.
struct KvDivergence {
  Estimate before, after;
};

absl::StatusOr<std::optional<KvDivergence>> measure_kv(const Options& options) {
  if (options.kv.empty() || options.publish.text.empty()) return std::nullopt;
  const KvDType dtype = kv_format(options.kv).dtype;
  KvDivergence kl;
  BRISK_ASSIGN_OR_RETURN(kl.before,
                         divergence_with_kv(options.in, options.in, options.publish, dtype));
  BRISK_ASSIGN_OR_RETURN(kl.after,
                         divergence_with_kv(options.in, options.out, options.publish, dtype));
  return kl;
}

double ratio(double after, double before) { return before > 0 ? after / before : 1; }

Json kv_json(const Options& options, const QuantizeResult& result,
             const std::optional<KvDivergence>& kl) {
  Json layers = Json::array();
  for (const KvLoss& loss : result.kv) layers.push_back(to_json(loss));
  Json json = {{"dtype", options.kv}, {"layers", std::move(layers)}};
  if (!kl) return json;
  json["kl_before"] = to_json(kl->before);
  json["kl_after"] = to_json(kl->after);
  return json;
}

std::string kv_text(const Options& options, const QuantizeResult& result,
                    const std::optional<KvDivergence>& kl) {
  KvLoss all;
  for (const KvLoss& loss : result.kv) all.add(loss);
  std::string text = fmt::format(
      "\nsmoothed for a KV cache in {}: of what keys lost on the calibration text {:.0f} % is "
      "left, of what values lost {:.0f} %",
      options.kv, 100 * ratio(all.keys_after, all.keys_before),
      100 * ratio(all.values_after, all.values_before));
  if (!kl) return text;
  return text + fmt::format("\nKL with a KV cache in {}: {} before, {} after", options.kv,
                            kl_text(kl->before), kl_text(kl->after));
}

Json to_json(const Options& options, const QuantizeResult& result, double seconds) {
  Json matrices = Json::array();
  for (const QuantizedMatrix& matrix : result.matrices) {
    matrices.push_back({{"name", matrix.name},
                        {"format", matrix.format},
                        {"values", matrix.values},
                        {"bits", matrix.bits},
                        {"relative_error", matrix.relative_error}});
  }
  return {{"out", options.out},
          {"scheme", options.quantize.bits > 0 ? "mixed" : options.quantize.scheme},
          {"method", options.method},
          {"bytes", result.bytes},
          {"bits_per_weight", result.bits_per_weight},
          {"calibration_tokens", result.calibration_tokens},
          {"seconds", seconds},
          {"matrices", matrices}};
}

std::string summary_of(const Options& options, const QuantizeResult& result, double seconds) {
  return fmt::format("{}: {} by {}, {:.2f} bits per weight, {}, written in {}", options.out,
                     options.quantize.bits > 0 ? "a mix" : options.quantize.scheme, options.method,
                     result.bits_per_weight, human_bytes(result.bytes), human_seconds(seconds));
}

absl::Status quantize(Options& options) {
  QuantizeOptions& job = options.quantize;
  if (options.method.empty())
    options.method = options.calibration.empty() ? "search" : "importance";
  BRISK_ASSIGN_OR_RETURN(job.method, parse_quantize_method(options.method));
  if (!options.kv.empty()) job.kv_calibration = kv_format(options.kv).element;
  if (!options.calibration.empty()) {
    BRISK_ASSIGN_OR_RETURN(job.documents, read_documents(options.calibration));
  }
  options.publish.tokenizer = job.tokenizer_path;
  options.publish.threads = job.threads;
  job.work_directory = work_directory_of(options.out);
  QuantizeResult result;
  return make_artefact(
      {.in = options.in,
       .out = options.out,
       .publish = options.publish,
       .json = options.json,
       .make = [&](const std::string& path, const ShowStage& show) -> absl::Status {
         job.on_progress = show;
         BRISK_ASSIGN_OR_RETURN(result, quantize_checkpoint(options.in, path, job));
         return absl::OkStatus();
       },
       .describe = [&](double seconds) -> absl::StatusOr<Description> {
         Description made{to_json(options, result, seconds), summary_of(options, result, seconds)};
         if (options.kv.empty()) return made;
         BRISK_ASSIGN_OR_RETURN(const std::optional<KvDivergence> kl, measure_kv(options));
         made.facts["kv_calibration"] = kv_json(options, result, kl);
         made.summary += kv_text(options, result, kl);
         return made;
       }});
}

}  // namespace

CommandAction add_quantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  QuantizeOptions& job = options->quantize;
  app.footer(
      "brisk quantize model small.gguf --scheme q8_0\n"
      "brisk quantize model small.gguf --scheme q4_k_m --calibration texts.jsonl\n"
      "brisk quantize model small.gguf --scheme q4_0 --method gptq --calibration book.txt\n"
      "brisk quantize model small-int4 --scheme int4-g128 --method awq+gptq --calibration "
      "book.txt\n"
      "brisk quantize model small-w8a8 --scheme w8a8 --method smoothquant --calibration book.txt\n"
      "brisk quantize model small.gguf --bits 5 --calibration texts.jsonl\n"
      "brisk quantize model smooth.gguf --scheme bf16 --kv-calibration int4 --calibration "
      "texts.jsonl\n"
      "brisk quantize model small.gguf --scheme q4_0 --evaluate other.jsonl --max-kl 0.05");
  app.add_option("in", options->in, "A .gguf, a Hugging Face directory or a llama2.c .bin")
      ->required();
  app.add_option("out", options->out,
                 "A name ending in .gguf, or a directory (compressed-tensors' safetensors)")
      ->required();
  auto* scheme = app.add_option("--scheme", job.scheme,
                                "The format of matrices, in a .gguf: " + format_choices() +
                                    "; in a directory: " + std::string(scaled_scheme_names()) +
                                    "; f32, f16 and bf16 in both")
                     ->capture_default_str();
  app.add_option("--bits", job.bits,
                 "Instead: a format for each matrix, so many bits a weight on average, more where "
                 "the model's predictions need them")
      ->check(CLI::Range(2.0, 16.0))
      ->excludes(scheme);
  app.add_option("--method", options->method,
                 "How codes are chosen: " + quantize_method_choices() +
                     " (default: importance with a calibration text, else search)");
  app.add_option(
      "--calibration", options->calibration,
      "Text like what the model will see: a .jsonl of documents (\"text\") or conversations "
      "(\"messages\"), or any file");
  app.add_option("--kv-calibration", options->kv,
                 "Smooth keys and values, at no cost when the model runs, for a KV cache in this "
                 "format (--kv-dtype): int8 or int4. Wants --calibration")
      ->check(CLI::IsMember({"int8", "int4"}));
  app.add_option("--windows", job.calibration.windows_max, "Pieces of the text that are used")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--window-tokens", job.calibration.window_tokens, "Tokens of each")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--damping", job.damping, "GPTQ: of the inputs' Gram matrix, as a share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--tokenizer", job.tokenizer_path, "Tokenizer file, for models without one");
  app.add_option("-t,--threads", job.threads, "0: as many as the process may use");
  app.add_flag("--json", options->json, "Print a JSON object, matrix by matrix");
  add_publish_options(app, &options->publish);
  return [options] { return quantize(*options); };
}

}  // namespace brisk
