// brisk tasks: exercises with known answers and short stories, as many as one likes.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/progress.h"
#include "apps/table.h"
#include "apps/task_flags.h"
#include "base/json.h"
#include "base/status.h"

namespace brisk {
namespace {

struct GenerateOptions {
  std::vector<std::string> names = {"all"};
  TaskFlags flags;
  uint64_t count = 1000;
  std::string output = "-";
};

// Lines into a file that gets its name when it is whole, or to standard output.
class LineWriter {
 public:
  static absl::StatusOr<std::unique_ptr<LineWriter>> open(const std::string& path) {
    auto writer = std::unique_ptr<LineWriter>(new LineWriter(path));
    if (path == "-") return writer;
    writer->partial_ = path + ".partial";
    writer->file_ = std::fopen(writer->partial_.c_str(), "wb");
    if (writer->file_ == nullptr) return writer->failed();
    return writer;
  }
  ~LineWriter() {
    if (partial_.empty()) return;
    if (file_ != nullptr) std::fclose(file_);
    std::remove(partial_.c_str());  // nothing is left to remove once it has its name
  }
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  absl::Status write(std::string_view line) {
    buffer_ += line;
    buffer_ += '\n';
    return buffer_.size() < kBufferBytes ? absl::OkStatus() : flush();
  }

  absl::Status finish() {
    BRISK_RETURN_IF_ERROR(flush());
    if (partial_.empty()) return absl::OkStatus();
    const bool closed = std::fclose(file_) == 0;
    file_ = nullptr;
    if (!closed || std::rename(partial_.c_str(), path_.c_str()) != 0) return failed();
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kBufferBytes = size_t{1} << 20;

  explicit LineWriter(std::string path) : path_(std::move(path)) {}

  absl::Status flush() {
    const size_t written = std::fwrite(buffer_.data(), 1, buffer_.size(), file_);
    if (written != buffer_.size() || std::fflush(file_) != 0) return failed();
    buffer_.clear();
    return absl::OkStatus();
  }
  absl::Status failed() const {
    return system_error("{}: cannot be written: {}", partial_.empty() ? "standard output" : path_,
                        std::strerror(errno));
  }

  const std::string path_;
  std::string partial_;  // empty: standard output
  std::FILE* file_ = stdout;
  std::string buffer_;
};

absl::Status generate(const GenerateOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const tasks::Mix mix, make_mix(options.names, options.flags));
  BRISK_ASSIGN_OR_RETURN(const std::unique_ptr<LineWriter> writer,
                         LineWriter::open(options.output));
  Progress progress("samples");
  for (uint64_t i = 0; i < options.count; ++i) {
    BRISK_RETURN_IF_ERROR(writer->write(tasks::to_json_line(tasks::generate(mix, i))));
    if (i % 1024 == 0) progress.show_items(i, options.count);
  }
  return writer->finish();
}

absl::Status list(bool json) {
  Json rows = Json::array();
  std::vector<std::vector<std::string>> cells = {{"task", "levels", "graded", "what it asks"}};
  for (const tasks::Task& task : tasks::all_tasks()) {
    rows.push_back({{"task", task.name},
                    {"graded", task.graded},
                    {"levels", task.leveled ? Json{"easy", "middle", "hard"} : Json{"easy"}},
                    {"weight", task.weight},
                    {"summary", task.summary}});
    cells.push_back({std::string(task.name), task.leveled ? "3" : "1", task.graded ? "yes" : "no",
                     std::string(task.summary)});
  }
  if (json) {
    fmt::print("{}\n", to_text(rows));
  } else {
    fmt::print("{}", table(cells, {Align::kLeft, Align::kRight}));
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_tasks(CLI::App& app) {
  app.require_subcommand(1);
  app.footer(
      "brisk tasks list\n"
      "brisk tasks generate --task all --count 600000 -o train.jsonl\n"
      "brisk tasks generate --task add,sort --level easy --split test --count 5");
  auto options = std::make_shared<GenerateOptions>();
  auto json = std::make_shared<bool>(false);
  CLI::App* generating = app.add_subcommand(
      "generate",
      "Writes samples, one JSON object a line: a conversation with its answer, or a text");
  generating
      ->add_option("--task", options->names,
                   "Tasks, or all; with a weight behind a colon where their own is not to count: "
                   "all,story:1")
      ->delimiter(',')
      ->capture_default_str();
  add_task_options(*generating, &options->flags);
  generating->add_option("--count", options->count, "How many samples")->capture_default_str();
  generating->add_option("-o,--output", options->output, "A .jsonl; - is standard output")
      ->capture_default_str();
  CLI::App* listing = app.add_subcommand("list", "Shows the tasks");
  listing->add_flag("--json", *json, "Print a JSON array");
  return [options, json, listing] { return listing->parsed() ? list(*json) : generate(*options); };
}

}  // namespace brisk
