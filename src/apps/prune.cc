// brisk prune: a model with fewer weights.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/publish.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compress/evaluate/documents.h"
#include "compress/prune/prune.h"
#include "compress/prune/structured.h"

namespace brisk {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::string method;
  std::string sparsity = "0.5";
  std::string calibration;
  PruneOptions prune;
  StructuredOptions structures;
  PublishOptions publish;
  bool json = false;
};

bool removes_structures(const StructuredOptions& options) {
  return options.neurons > 0 || options.kv_heads > 0 || options.channels > 0 || options.layers > 0;
}

Json to_json(const Options& options, const StructuredResult& result, double seconds) {
  return {{"out", options.out},
          {"parameters_before", result.parameters_before},
          {"parameters", result.parameters},
          {"layers", result.layers},
          {"removed_layers", result.removed_layers},
          {"ffn_size", result.ffn_size},
          {"heads", result.heads},
          {"kv_heads", result.kv_heads},
          {"hidden_size", result.hidden_size},
          {"bytes", result.bytes},
          {"calibration_tokens", result.calibration_tokens},
          {"seconds", seconds}};
}

Json to_json(const Options& options, const PruneResult& result, double seconds) {
  Json matrices = Json::array();
  for (const PrunedMatrix& matrix : result.matrices) {
    matrices.push_back({{"name", matrix.name}, {"values", matrix.values}, {"zeros", matrix.zeros}});
  }
  return {{"out", options.out},
          {"method", options.method},
          {"sparsity", result.sparsity()},
          {"bytes", result.bytes},
          {"calibration_tokens", result.calibration_tokens},
          {"seconds", seconds},
          {"matrices", matrices}};
}

std::string summary_of(const Options& options, const StructuredResult& result) {
  return fmt::format("{}: {} of {} parameters: {} layers of {} channels, {} neurons, {} heads; {}",
                     options.out, result.parameters, result.parameters_before, result.layers,
                     result.hidden_size, result.ffn_size, result.heads, human_bytes(result.bytes));
}

std::string summary_of(const Options& options, const PruneResult& result, double seconds) {
  return fmt::format("{}: {:.1f} % of the weights that may go are zero, by {}; {}, written in {}",
                     options.out, 100 * result.sparsity(), options.method,
                     human_bytes(result.bytes), human_seconds(seconds));
}

absl::Status prune_whole_structures(Options& options) {
  StructuredOptions& job = options.structures;
  job.calibration = options.prune.calibration;
  job.damping = options.prune.damping;
  job.tokenizer_path = options.prune.tokenizer_path;
  job.threads = options.prune.threads;
  job.work_directory = work_directory_of(options.out);
  if (!options.calibration.empty()) {
    BRISK_ASSIGN_OR_RETURN(job.documents, read_documents(options.calibration));
  }
  StructuredResult result;
  return make_artefact(
      {.in = options.in,
       .out = options.out,
       .publish = options.publish,
       .json = options.json,
       .make = [&](const std::string& path, const ShowStage& show) -> absl::Status {
         job.on_progress = [&show](int64_t done, int64_t layers) { show("layers", done, layers); };
         BRISK_ASSIGN_OR_RETURN(result, prune_structures(options.in, path, job));
         return absl::OkStatus();
       },
       .describe = [&](double seconds) -> Description {
         return {to_json(options, result, seconds), summary_of(options, result)};
       }});
}

absl::Status prune(Options& options) {
  options.publish.tokenizer = options.prune.tokenizer_path;
  options.publish.threads = options.prune.threads;
  if (removes_structures(options.structures)) return prune_whole_structures(options);
  if (!options.structures.importance_path.empty()) {
    return invalid_input(
        "--importance says which whole structures go: give --neurons, --heads, --channels or "
        "--layers");
  }
  PruneOptions& job = options.prune;
  job.work_directory = work_directory_of(options.out);
  if (options.method.empty()) options.method = options.calibration.empty() ? "magnitude" : "wanda";
  BRISK_ASSIGN_OR_RETURN(job.method, parse_prune_method(options.method));
  BRISK_ASSIGN_OR_RETURN(job.pattern, parse_sparsity(options.sparsity));
  if (!options.calibration.empty()) {
    BRISK_ASSIGN_OR_RETURN(job.documents, read_documents(options.calibration));
  }
  PruneResult result;
  return make_artefact(
      {.in = options.in,
       .out = options.out,
       .publish = options.publish,
       .json = options.json,
       .make = [&](const std::string& path, const ShowStage& show) -> absl::Status {
         job.on_progress = [&show](int64_t done, int64_t layers) { show("layers", done, layers); };
         BRISK_ASSIGN_OR_RETURN(result, prune_checkpoint(options.in, path, job));
         return absl::OkStatus();
       },
       .describe = [&](double seconds) -> Description {
         return {to_json(options, result, seconds), summary_of(options, result, seconds)};
       }});
}

}  // namespace

CommandAction add_prune(CLI::App& app) {
  auto options = std::make_shared<Options>();
  PruneOptions& job = options->prune;
  app.footer(
      "brisk prune model pruned.gguf --sparsity 0.5 --calibration texts.jsonl\n"
      "brisk prune model pruned --sparsity 2:4 --method sparsegpt --calibration book.txt\n"
      "brisk prune model pruned.gguf --sparsity 0.3 --method magnitude\n"
      "brisk prune model smaller --neurons 0.25 --layers 2 --calibration texts.jsonl");
  app.add_option("in", options->in, "A .gguf, a Hugging Face directory or a llama2.c .bin")
      ->required();
  app.add_option("out", options->out, "A name ending in .gguf, or a directory")->required();
  auto* sparsity =
      app.add_option("--sparsity", options->sparsity,
                     "The share of weights that goes, or how many stay of a group (2:4, 4:8)")
          ->capture_default_str();
  auto* method = app.add_option("--method", options->method,
                                "Which go: " + prune_method_choices() +
                                    " (default: wanda with a calibration text, else magnitude)");
  auto* head = app.add_flag("--sparse-head", job.head,
                            "Prune the head too, and with it an embedding that it is tied to");
  StructuredOptions& structures = options->structures;
  // Either single weights go, or whole structures.
  const auto add_share = [&](const char* name, double* share, const char* what) {
    app.add_option(name, *share, what)
        ->check(CLI::Range(0.0, 0.99))
        ->excludes(sparsity)
        ->excludes(method)
        ->excludes(head)
        ->group("Whole structures");
  };
  add_share("--neurons", &structures.neurons, "The share of each MLP's neurons that goes");
  add_share("--heads", &structures.kv_heads,
            "The share of key-value heads that goes, with the query heads that share them");
  add_share("--channels", &structures.channels, "The share of the residual stream's channels");
  app.add_option("--layers", structures.layers, "How many layers go")
      ->check(CLI::Range(0, 1 << 10))
      ->excludes(sparsity)
      ->excludes(method)
      ->excludes(head)
      ->group("Whole structures");
  app.add_option("--importance", structures.importance_path,
                 "Which of them: a file of brisk-train importance (default: those that do least on "
                 "the calibration text)")
      ->group("Whole structures");
  app.add_option(
      "--calibration", options->calibration,
      "Text like what the model will see: a .jsonl of documents (\"text\") or conversations "
      "(\"messages\"), or any file");
  app.add_option("--windows", job.calibration.windows_max, "Pieces of the text that are used")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--window-tokens", job.calibration.window_tokens, "Tokens of each")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("--damping", job.damping, "SparseGPT: of the inputs' Gram matrix, as a share")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--tokenizer", job.tokenizer_path, "Tokenizer file, for models without one");
  app.add_option("-t,--threads", job.threads, "0: as many as the process may use");
  app.add_flag("--json", options->json, "Print a JSON object, matrix by matrix");
  add_publish_options(app, &options->publish);
  return [options] { return prune(*options); };
}

}  // namespace brisk
