#include "apps/publish.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "apps/gate_flags.h"
#include "apps/progress.h"
#include "base/status.h"
#include "compress/evaluate/documents.h"
#include "compress/report/quality_json.h"
#include "compress/report/quality_text.h"
#include "model/checkpoint/quality_report.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

// "model.gguf": "model.12345.unpublished.gguf" beside it.
std::string name_beside(const std::string& out) {
  fs::path path = fs::path(out).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  const std::string mark = fmt::format(".{}.unpublished", ::getpid());
  const bool is_file = path.extension() == ".gguf";
  return is_file ? path.replace_extension(mark + ".gguf").string() : path.string() + mark;
}

// Removes what is not published.
class Unpublished {
 public:
  explicit Unpublished(std::string path) : path_(std::move(path)) {}
  Unpublished(const Unpublished&) = delete;
  Unpublished& operator=(const Unpublished&) = delete;
  ~Unpublished() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

 private:
  const std::string path_;
};

absl::StatusOr<QualityReport> measure(const std::string& in, const std::string& path,
                                      const PublishOptions& options) {
  QualityReport report;
  if (options.text.empty()) {
    BRISK_ASSIGN_OR_RETURN(const auto checkpoint, open_checkpoint(path));
    for (const MappedFile& file : checkpoint->files) report.bytes += file.bytes().size();
    return report;
  }
  BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> documents, read_documents(options.text));
  LoadOptions load;
  load.threads = options.threads;
  BRISK_ASSIGN_OR_RETURN(const auto candidate, load_model(path, load));
  std::shared_ptr<const Model> reference;
  if (options.same_vocabulary) {
    load.tokenizer_path = options.tokenizer;
    load.activations = Activations::kF32;
    BRISK_ASSIGN_OR_RETURN(reference, load_model(in, load));
  }
  QualityOptions quality;
  quality.threads = options.threads;
  Progress progress("measuring");
  quality.on_progress = [&progress](uint64_t done, uint64_t total) { progress.show(done, total); };
  return measure_quality(*candidate, reference.get(), documents, quality);
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
  add_gate_options(app, &options->gate);
}

absl::StatusOr<std::optional<QualityReport>> publish(
    const std::string& in, const std::string& out, const PublishOptions& options,
    const std::function<absl::Status(const std::string& path)>& make) {
  const bool measured = !options.text.empty() || !options.gate.is_empty();
  std::error_code error;
  if (fs::equivalent(in, out, error)) {
    return invalid_input("{}: a model cannot take its own place; give another name", out);
  }
  const std::string path = name_beside(out);
  const Unpublished unpublished(path);
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

void print_quality(const QualityReport& report) {
  for (const auto& [name, value] : quality_facts(report)) fmt::print("  {:<28} {}\n", name, value);
}

}  // namespace brisk
