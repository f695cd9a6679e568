// brisk eval: how well a model predicts a text, or solves tasks.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/engine_flags.h"
#include "apps/eval_tasks.h"
#include "apps/progress.h"
#include "base/json.h"
#include "base/status.h"
#include "compress/evaluate/documents.h"
#include "compress/evaluate/quality.h"

namespace brisk {
namespace {

struct Options {
  std::string model;
  std::string tokenizer;
  std::string text;
  std::string lora;
  Activations activations = Activations::kInt8;
  QualityOptions quality;
  EvalTasksOptions tasks;
  bool json = false;
};

void print_report(const Model& model, const TextQuality& report) {
  fmt::print("{}: {} documents, {} windows, {} tokens, {} bytes in {:.1f} s\n\n", model.name,
             report.documents, report.windows, report.tokens, report.bytes, report.seconds);
  fmt::print("{:<16} {:>12.6f}\n", "perplexity", report.perplexity.value);
  fmt::print("{:<16} {:>12.6f}\n", "nats per token", report.nats_per_token());
  fmt::print("{:<16} {:>12.6f}\n", "nats per byte", report.nats_per_byte());
}

Json to_json(const Model& model, const TextQuality& report) {
  return {{"model", model.name},
          {"documents", report.documents},
          {"windows", report.windows},
          {"tokens", report.tokens},
          {"bytes", report.bytes},
          {"nats", report.nats},
          {"perplexity", report.perplexity.value},
          {"nats_per_token", report.nats_per_token()},
          {"nats_per_byte", report.nats_per_byte()},
          {"seconds", report.seconds}};
}

absl::Status check(const Options& options) {
  if (options.text.empty() == options.tasks.tasks.empty()) {
    return invalid_input("give either a text to predict (--text) or tasks to solve (--tasks)");
  }
  const bool served = !options.tasks.server.empty();
  if (served && !options.text.empty()) {
    return invalid_input("a text is predicted by a model here; --server goes with --tasks");
  }
  if (served && !options.model.empty()) return invalid_input("give either a model or --server");
  if (!served && options.model.empty()) {
    return invalid_input("name a model: a .gguf, a Hugging Face directory or a llama2.c .bin");
  }
  return absl::OkStatus();
}

absl::Status eval_model_tasks(Options& options) {
  options.tasks.model = options.model;
  options.tasks.lora = options.lora;
  options.tasks.json = options.json;
  options.tasks.kv_dtype = options.quality.kv_dtype;
  options.tasks.load = {.tokenizer_path = options.tokenizer,
                        .activations = options.activations,
                        .threads = options.quality.threads};
  return eval_tasks(options.tasks);
}

absl::Status eval(Options& options) {
  BRISK_RETURN_IF_ERROR(check(options));
  if (!options.tasks.tasks.empty()) return eval_model_tasks(options);
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         load_model(options.model, {.tokenizer_path = options.tokenizer,
                                                    .activations = options.activations,
                                                    .threads = options.quality.threads}));
  if (!options.lora.empty()) {
    BRISK_ASSIGN_OR_RETURN(options.quality.adapter, load_lora(options.lora, *model));
  }
  BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> documents, read_documents(options.text));
  Progress progress("text");
  options.quality.on_progress = [&](uint64_t done, uint64_t total) { progress.show(done, total); };
  BRISK_ASSIGN_OR_RETURN(const QualityReport quality,
                         measure_quality(*model, nullptr, documents, options.quality));
  const TextQuality& report = *quality.text;
  if (options.json) {
    fmt::print("{}\n", to_text(to_json(*model, report)));
  } else {
    print_report(*model, report);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.footer(
      "brisk eval model.gguf --text book.txt\n"
      "brisk eval model.gguf --tasks all --count 100\n"
      "brisk eval --tasks test.jsonl --server http://127.0.0.1:8000");
  app.add_option("model", options->model, "A .gguf, a Hugging Face directory or a llama2.c .bin");
  app.add_option("--text", options->text,
                 "Text to predict: a .jsonl of documents (\"text\"), or any file as one document");
  add_eval_tasks_options(app, &options->tasks);
  app.add_option("--tokenizer", options->tokenizer, "Tokenizer file, for models without one");
  app.add_option("--lora", options->lora, "A LoRA adapter: a directory that PEFT wrote, or a .gguf")
      ->type_name("PATH");
  app.add_option("--context", options->quality.context,
                 "Tokens of a window (0: the model's context, at most 2,048)")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--threads", options->quality.threads, "Threads (0: all)")->capture_default_str();
  add_kv_dtype_option(app, &options->quality.kv_dtype);
  add_activations_option(app, &options->activations);
  app.add_flag("--json", options->json, "Print a JSON object");
  return [options] { return eval(*options); };
}

}  // namespace brisk
