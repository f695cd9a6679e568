// brisk batch: a file of requests in, a file of answers out, without a server.
#include <absl/container/flat_hash_set.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/default_model.h"
#include "apps/engine_flags.h"
#include "apps/progress.h"
#include "base/clock.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "engine/engine.h"
#include "serve/api/chat_renderer.h"
#include "serve/api/model_repository.h"
#include "serve/api/openai_response.h"
#include "serve/api/service.h"
#include "serve/batch/batch_store.h"
#include "serve/batch/line_runner.h"
#include "serve/http/sha256.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;
using batch::BatchInput;
using batch::Journal;

const std::string kBatchId = "offline";
constexpr batch::InputLimits kLimits = {.lines_max = 10'000'000};

struct BatchOptions {
  std::string input;
  std::string output;
  std::string errors;  // empty: beside the output
  std::string model;
  std::string tokenizer;
  std::string chat_template;
  EngineOptions engine = {.queue_max = 1 << 20};
  Activations activations = Activations::kInt8;

  std::string errors_path() const {
    return errors.empty() ? fs::path(output).replace_extension(".errors.jsonl").string() : errors;
  }
  std::string journal_path() const { return output + ".journal"; }
};

// The lines that have no answer yet, and the place where answers go.
class Lines final : public batch::LineSource {
 public:
  Lines(const BatchInput& input, Journal& journal) : input_(input), journal_(journal) {}

  absl::Status read_journal() {
    return journal_.visit_results(
        kBatchId, [this](const batch::LineResult& result) { done_.insert(result.line); });
  }

  std::optional<batch::LineWork> next(const batch::Admits& admits) override {
    if (!admits(kBatchId)) return std::nullopt;
    while (next_ < input_.size() && done_.contains(next_)) ++next_;
    if (next_ >= input_.size() || !status_.ok()) return std::nullopt;
    batch::LineWork work{.batch = kBatchId, .line = next_, .input = *input_.line(next_)};
    ++next_;
    // There is one model here, whatever the requests were written for.
    OrderedJson body = OrderedJson::parse(work.input.body);
    body.erase("model");
    work.input.body = body.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    return work;
  }

  bool is_wanted(const batch::LineWork& /*work*/) const override { return status_.ok(); }

  void put(std::vector<batch::LineResult> results) override {
    status_ = journal_.add_results(results);
    for (const batch::LineResult& result : results) done_.insert(result.line);
  }

  int64_t done() const { return std::ssize(done_); }
  const absl::Status& status() const { return status_; }

 private:
  const BatchInput& input_;
  Journal& journal_;
  absl::flat_hash_set<int64_t> done_;
  int64_t next_ = 0;
  absl::Status status_;
};

absl::StatusOr<api::ServedModel> describe(const BatchOptions& options,
                                          std::shared_ptr<Engine> engine) {
  const Model& model = engine->model();
  api::ServedModel served;
  served.engine = std::move(engine);
  served.tokenizer = model.tokenizer.get();
  served.names = {model.name};
  served.created = api::unix_seconds();
  served.defaults = model.checkpoint->generation;
  std::string text;
  if (!options.chat_template.empty()) {
    constexpr size_t kTemplateBytesMax = 1 << 20;
    BRISK_ASSIGN_OR_RETURN(text, read_file(options.chat_template, kTemplateBytesMax));
  }
  BRISK_ASSIGN_OR_RETURN(served.renderer, api::make_chat_renderer(model, text));
  served.tools = api::chat_tool_support(model, text, "auto");
  return served;
}

void report_progress(Progress& progress, const Lines& lines, int64_t total, const Engine& engine,
                     double seconds) {
  progress.show_text([&] {
    const double rate = static_cast<double>(engine.stats().generation_tokens) / seconds;
    const auto filled = static_cast<size_t>(30 * lines.done() / total);
    return fmt::format("[{:<30}] {} of {}  {:.0f} tokens/s", std::string(filled, '#'), lines.done(),
                       total, rate);
  });
}

absl::Status answer_lines(const BatchOptions& options, Lines& lines, int64_t total) {
  BRISK_ASSIGN_OR_RETURN(const std::string path, model_or_default(options.model));
  BRISK_ASSIGN_OR_RETURN(std::shared_ptr<const Model> model,
                         load_model(path, {.tokenizer_path = options.tokenizer,
                                           .context_max = options.engine.context_max,
                                           .activations = options.activations,
                                           .threads = options.engine.threads}));
  if (model->tokenizer == nullptr) {
    return invalid_input("{} has no tokenizer; name one with --tokenizer", path);
  }
  BRISK_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine,
                         Engine::create(std::move(model), options.engine));
  BRISK_ASSIGN_OR_RETURN(api::ServedModel served, describe(options, engine));
  api::Metrics metrics;
  api::ModelRepository models(metrics);
  models.add(std::move(served));
  api::Service service(models, metrics);
  const SteadyClock clock;
  batch::LineRunner runner(service.routes(), options.engine.sequences_max, clock);
  Progress progress("requests");
  const Instant start = clock.now();
  const int64_t before = lines.done();
  constexpr double kWaitSeconds = 0.2;
  while (lines.done() < total && lines.status().ok()) {
    runner.step(lines, kWaitSeconds);
    report_progress(progress, lines, total, *engine, seconds_between(start, clock.now()));
  }
  runner.cancel_all();
  BRISK_RETURN_IF_ERROR(lines.status());
  const double seconds = seconds_between(start, clock.now());
  const EngineStats stats = engine->stats();
  fmt::print(stderr,
             "{} requests in {:.1f} s: {:.1f} requests/s, {:.0f} prompt and {:.0f} generated "
             "tokens/s\n",
             total - before, seconds, static_cast<double>(total - before) / seconds,
             static_cast<double>(stats.prompt_tokens) / seconds,
             static_cast<double>(stats.generation_tokens) / seconds);
  return absl::OkStatus();
}

// That the journal is of this input; a new one becomes so.
absl::Status check_journal(const BatchOptions& options, Journal& journal) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile input, MappedFile::open(options.input));
  const std::string digest = http::to_hex(http::sha256(input.text()));
  BRISK_ASSIGN_OR_RETURN(const auto found, journal.find("batch", kBatchId));
  if (!found.has_value()) {
    return journal.insert({.kind = "batch", .id = kBatchId, .owner = "", .text = digest});
  }
  if (found->text == digest) return absl::OkStatus();
  return invalid_input(
      "{} is of another input than {}: give the input it was begun with, or delete it to begin "
      "again",
      options.journal_path(), options.input);
}

absl::Status check_input(const BatchOptions& options, const BatchInput& input) {
  if (input.faults().empty()) return absl::OkStatus();
  const batch::InputFault& fault = input.faults().front();
  if (fault.line == 0) return invalid_input("{}: {}", options.input, fault.message);
  return invalid_input("{}:{}: {}", options.input, fault.line, fault.message);
}

void remove_journal(const BatchOptions& options) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"})
    fs::remove(options.journal_path() + suffix, ignored);
}

absl::Status run_batch(const BatchOptions& options) {
  std::error_code error;
  if (fs::exists(options.output, error) && !fs::exists(options.journal_path(), error)) {
    return invalid_input("{} is there already; delete it, or name another output", options.output);
  }
  const std::vector<std::string> endpoints = {"/v1/chat/completions", "/v1/completions",
                                              "/v1/embeddings", "/v1/responses"};
  BRISK_ASSIGN_OR_RETURN(const BatchInput input,
                         BatchInput::open(options.input, "", endpoints, kLimits));
  BRISK_RETURN_IF_ERROR(check_input(options, input));
  batch::ResultCounts counts;
  {
    BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<Journal> journal,
                           Journal::open(options.journal_path()));
    BRISK_RETURN_IF_ERROR(check_journal(options, *journal));
    Lines lines(input, *journal);
    BRISK_RETURN_IF_ERROR(lines.read_journal());
    if (lines.done() > 0) {
      fmt::print(stderr, "going on: {} of {} requests are done\n", lines.done(), input.size());
    }
    if (lines.done() < input.size()) {
      BRISK_RETURN_IF_ERROR(answer_lines(options, lines, input.size()));
    }
    BRISK_ASSIGN_OR_RETURN(
        counts, batch::write_results(*journal, kBatchId, {},
                                     {.output = options.output, .errors = options.errors_path()}));
  }
  remove_journal(options);
  if (counts.succeeded > 0) fmt::print("{}: {} answers\n", options.output, counts.succeeded);
  if (counts.failed > 0) {
    fmt::print("{}: {} requests that were refused or failed\n", options.errors_path(),
               counts.failed);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_batch(CLI::App& app) {
  app.footer(
      "brisk batch requests.jsonl -o answers.jsonl model.gguf\n"
      "Interrupted, even by kill -9, the same command goes on where it was.");
  auto options = std::make_shared<BatchOptions>();
  app.add_option("input", options->input, "requests in the format of OpenAI's batches")->required();
  app.add_option("model", options->model,
                 "a GGUF file, a Hugging Face directory, ... (default: the small model that ships "
                 "with brisk)");
  app.add_option("-o,--output", options->output, "file that gets the answers")->required();
  app.add_option("--errors", options->errors,
                 "file that gets what failed (default: OUTPUT with .errors.jsonl)");
  app.add_option("--tokenizer", options->tokenizer, "tokenizer file, where the model has none");
  app.add_option("--chat-template", options->chat_template,
                 "file with the Jinja chat template to use instead of the model's");
  EngineOptions& engine = options->engine;
  app.add_option("--threads", engine.threads, "compute threads; 0: as many as allowed");
  app.add_option("--sequences-max", engine.sequences_max, "requests answered at once")
      ->capture_default_str();
  app.add_option("--tokens-per-step", engine.tokens_per_step_max, "token budget of a step")
      ->capture_default_str();
  app.add_option("--context", engine.context_max, "tokens of a sequence; 0: the model's");
  app.add_option("--kv-tokens", engine.kv_tokens, "tokens the KV cache holds; 0: as memory allows");
  add_kv_dtype_option(app, &engine.kv_dtype);
  add_activations_option(app, &options->activations);
  return [options] { return run_batch(*options); };
}

}  // namespace brisk
