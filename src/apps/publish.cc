#include "apps/publish.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "apps/gate_flags.h"
#include "apps/progress.h"
#include "base/status.h"
#include "compress/edit/edit_journal.h"
#include "compress/evaluate/documents.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"
#include "model/checkpoint/quality_report.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

fs::path without_slash(const std::string& out) {
  fs::path path = fs::path(out).lexically_normal();
  return path.filename().empty() ? path.parent_path() : path;
}

// "model.gguf": "model.12345.unpublished.gguf" beside it.
std::string name_beside(const std::string& out) {
  fs::path path = without_slash(out);
  const std::string mark = fmt::format(".{}.unpublished", ::getpid());
  const bool is_file = path.extension() == ".gguf";
  return is_file ? path.replace_extension(mark + ".gguf").string() : path.string() + mark;
}

// Removes what is not published.
class Unpublished {
 public:
  Unpublished(std::string path, std::string work)
      : path_(std::move(path)), work_(std::move(work)) {}
  Unpublished(const Unpublished&) = delete;
  Unpublished& operator=(const Unpublished&) = delete;
  ~Unpublished() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
    EditJournal::remove(work_);
  }

 private:
  const std::string path_, work_;
};

// What will be measured, to see whether the gate can be decided.
QualityReport outline(const PublishOptions& options) {
  QualityReport report;
  if (!options.text.empty()) {
    report.text.emplace();
    if (options.same_vocabulary) report.text->divergence.emplace();
  }
  outline_suites(options.suites, &report);
  return report;
}

absl::StatusOr<QualityReport> measure_text(const std::string& in,
                                           const std::shared_ptr<const Model>& candidate,
                                           const PublishOptions& options,
                                           KvDType dtype = KvDType::kF32) {
  LoadOptions load;
  load.threads = options.threads;
  std::vector<Document> documents;
  std::shared_ptr<const Model> reference;
  if (!options.text.empty()) {
    BRISK_ASSIGN_OR_RETURN(documents, read_documents(options.text));
    if (options.same_vocabulary) {
      load.tokenizer_path = options.tokenizer;
      load.activations = Activations::kF32;
      BRISK_ASSIGN_OR_RETURN(reference, load_model(in, load));
    }
  }
  QualityOptions quality;
  quality.threads = options.threads;
  quality.kv_dtype = dtype;
  Progress progress("measuring");
  quality.on_progress = [&progress](uint64_t done, uint64_t total) { progress.show(done, total); };
  return measure_quality(*candidate, reference.get(), documents, quality);
}

absl::StatusOr<QualityReport> measure(const std::string& in, const std::string& path,
                                      const PublishOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<Suite> suites, load_suites(options.suites));
  LoadOptions load;
  load.threads = options.threads;
  BRISK_ASSIGN_OR_RETURN(const auto candidate, load_model(path, load));
  BRISK_ASSIGN_OR_RETURN(QualityReport report, measure_text(in, candidate, options));
  for (const Suite& suite : suites) {
    BRISK_ASSIGN_OR_RETURN(const SuiteResult result,
                           ask_model({.model = candidate, .lora = "", .threads = options.threads},
                                     suite, options.suites));
    report.accuracies.push_back(accuracy_of(suite.name, result.right));
  }
  return report;
}

absl::Status rename_over(const std::string& from, const std::string& to) {
  std::error_code error;
  if (fs::is_directory(to, error)) fs::remove_all(to, error);
  fs::rename(from, to, error);
  return error ? system_error("{}: cannot be written: {}", to, error.message()) : absl::OkStatus();
}

}  // namespace

void add_publish_options(CLI::App& app, PublishOptions* options) {
  app.add_option("--evaluate", options->text,
                 "Text to measure the result on, which calibration has not seen: perplexity, and "
                 "divergence from the model it came from. The result carries the report");
  add_suite_options(app, &options->suites);
  add_gate_options(app, &options->gate);
}

std::string work_directory_of(const std::string& out) {
  return without_slash(out).string() + ".unfinished";
}

absl::StatusOr<std::optional<QualityReport>> publish(
    const std::string& in, const std::string& out, const PublishOptions& options,
    const std::function<absl::Status(const std::string& path)>& make) {
  const bool asks = !options.suites.tasks.empty() || !options.suites.questions.empty();
  const bool measured = !options.text.empty() || asks || !options.gate.is_empty();
  BRISK_RETURN_IF_ERROR(misses_of(options.gate, outline(options)).status());
  std::error_code error;
  if (fs::equivalent(in, out, error)) {
    return invalid_input("{}: a model cannot take its own place; give another name", out);
  }
  const std::string path = name_beside(out);
  const Unpublished unpublished(path, work_directory_of(out));
  BRISK_RETURN_IF_ERROR(make(path));
  std::optional<QualityReport> report;
  if (measured) {
    BRISK_ASSIGN_OR_RETURN(report, measure(in, path, options));
    report->model = model_name_of(out);
    BRISK_RETURN_IF_ERROR(
        annotate(check_gate(options.gate, *report), fmt::format("{} is not published", out)));
    BRISK_RETURN_IF_ERROR(attach_quality_report(path, to_text(to_json(*report))));
  }
  BRISK_RETURN_IF_ERROR(rename_over(path, out));
  return report;
}

absl::StatusOr<Estimate> divergence_with_kv(const std::string& in, const std::string& path,
                                            const PublishOptions& options, KvDType dtype) {
  LoadOptions load;
  load.threads = options.threads;
  if (path == in) load.tokenizer_path = options.tokenizer;
  BRISK_ASSIGN_OR_RETURN(const auto candidate, load_model(path, load));
  BRISK_ASSIGN_OR_RETURN(const QualityReport report, measure_text(in, candidate, options, dtype));
  return report.text->divergence->kl;
}

absl::Status make_artefact(const ArtefactJob& job) {
  const auto start = std::chrono::steady_clock::now();
  const auto make = [&job](const std::string& path) {
    Progress progress(job.out + ":");
    return job.make(path, [&progress](std::string_view stage, int64_t done, int64_t total) {
      progress.show_text([&] { return fmt::format("{} {} of {}", stage, done, total); });
    });
  };
  BRISK_ASSIGN_OR_RETURN(const std::optional<QualityReport> quality,
                         publish(job.in, job.out, job.publish, make));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  BRISK_ASSIGN_OR_RETURN(const Description made, job.describe(elapsed.count()));
  print_published(job.json, made.facts, made.summary, quality);
  return absl::OkStatus();
}

void print_published(bool as_json, Json facts, const std::string& summary,
                     const std::optional<QualityReport>& quality) {
  if (as_json) {
    if (quality) facts["quality"] = to_json(*quality);
    fmt::print("{}\n", to_text(facts));
    return;
  }
  fmt::print("{}\n", summary);
  if (!quality) return;
  for (const auto& [name, value] : quality_facts(*quality)) {
    fmt::print("  {:<28} {}\n", name, value);
  }
}

}  // namespace brisk
