// brisk factorize: a model whose matrices are products of two smaller ones.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/publish.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compress/evaluate/documents.h"
#include "compress/factorize/factorize.h"

namespace brisk {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::string calibration;
  FactorizeOptions factorize;
  PublishOptions publish;
  bool json = false;
};

Json to_json(const Options& options, const FactorizeResult& result, double seconds) {
  Json matrices = Json::array();
  for (const FactorizedMatrix& matrix : result.matrices) {
    matrices.push_back({{"name", matrix.name},
                        {"rows", matrix.rows},
                        {"depth", matrix.depth},
                        {"rank", matrix.rank},
                        {"kept_energy", matrix.kept_energy}});
  }
  return {{"out", options.out},
          {"parameters_before", result.parameters_before()},
          {"parameters", result.parameters()},
          {"bytes", result.bytes},
          {"calibration_tokens", result.calibration_tokens},
          {"seconds", seconds},
          {"matrices", matrices}};
}

std::string summary_of(const Options& options, const FactorizeResult& result, double seconds) {
  int64_t factored = 0;
  for (const FactorizedMatrix& matrix : result.matrices) factored += matrix.rank > 0 ? 1 : 0;
  const double share =
      static_cast<double>(result.parameters()) / static_cast<double>(result.parameters_before());
  return fmt::format(
      "{}: {} of {} matrices are products, {:.1f} % of their parameters; {}, written in {}",
      options.out, factored, result.matrices.size(), 100 * share, human_bytes(result.bytes),
      human_seconds(seconds));
}

absl::Status factorize(Options& options) {
  FactorizeOptions& job = options.factorize;
  options.publish.tokenizer = job.tokenizer_path;
  options.publish.threads = job.threads;
  if (!job.energy.has_value() && !job.ratio.has_value()) {
    job.bytes_max = options.publish.gate.bytes_max;
  }
  if (!options.calibration.empty()) {
    BRISK_ASSIGN_OR_RETURN(job.documents, read_documents(options.calibration));
  }
  job.work_directory = work_directory_of(options.out);
  FactorizeResult result;
  return make_artefact(
      {.in = options.in,
       .out = options.out,
       .publish = options.publish,
       .json = options.json,
       .make = [&](const std::string& path, const ShowStage& show) -> absl::Status {
         job.on_progress = show;
         BRISK_ASSIGN_OR_RETURN(result, factorize_checkpoint(options.in, path, job));
         return absl::OkStatus();
       },
       .describe = [&](double seconds) -> Description {
         return {to_json(options, result, seconds), summary_of(options, result, seconds)};
       }});
}

}  // namespace

CommandAction add_factorize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  FactorizeOptions& job = options->factorize;
  app.footer(
      "brisk factorize model small.gguf --ratio 0.3 --calibration texts.jsonl\n"
      "brisk factorize model small.gguf --max-size 7MB --calibration texts.jsonl\n"
      "brisk factorize model small --energy 0.95 --calibration book.txt --evaluate other.txt\n"
      "brisk factorize model plain.gguf --ratio 0.3\n"
      "brisk factorize model for-any-engine --ratio 0.3 --calibration texts.jsonl --dense");
  app.add_option("in", options->in, "A .gguf, a Hugging Face directory or a llama2.c .bin")
      ->required();
  app.add_option("out", options->out, "A name ending in .gguf, or a directory")->required();
  auto* energy = app.add_option("--energy", job.energy,
                                "The share of its squared singular values that each matrix keeps");
  auto* ratio = app.add_option("--ratio", job.ratio,
                               "The share of the matrices' parameters that goes, from wherever it "
                               "costs least. Some matrices may stay whole. With neither of the "
                               "two, as much goes as --max-size asks for");
  for (CLI::Option* share : {energy, ratio}) share->check(CLI::Range(0.0, 1.0));
  energy->excludes(ratio);
  app.add_option(
      "--calibration", options->calibration,
      "Text like what the model will see: a .jsonl of documents (\"text\") or conversations "
      "(\"messages\"), or any file. Products "
      "come near on what it makes of the inputs; without one, the weights themselves count");
  app.add_option("--windows", job.calibration.windows_max, "Pieces of the text that are used")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--window-tokens", job.calibration.window_tokens, "Tokens of each")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--damping", job.damping, "Of the inputs' Gram matrices, as a share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_flag("--dense", job.dense,
               "Write the products in the matrices' places: no smaller, but other engines load "
               "it, which they do not load factors");
  app.add_option("--tokenizer", job.tokenizer_path, "Tokenizer file, for models without one");
  app.add_option("-t,--threads", job.threads, "0: as many as the process may use");
  app.add_flag("--json", options->json, "Print a JSON object, matrix by matrix");
  add_publish_options(app, &options->publish);
  return [options] { return factorize(*options); };
}

}  // namespace brisk
