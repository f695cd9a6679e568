// brisk pull: a model from a Hugging Face-style hub.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/progress.h"
#include "base/status.h"
#include "hub/pull.h"

namespace brisk {
namespace {

struct Options {
  std::string model;
  std::string revision = "main";
  std::string endpoint;
  std::string cache;
  bool offline = false;
};

// A line for each file.
class Lines {
 public:
  void show(const std::string& path, int64_t bytes, int64_t total) {
    if (path != path_) line_ = std::make_unique<Progress>(path);
    path_ = path;
    line_->show(static_cast<uint64_t>(bytes), static_cast<uint64_t>(total));
  }

 private:
  std::string path_;
  std::unique_ptr<Progress> line_;
};

absl::Status run_pull(const Options& asked) {
  BRISK_ASSIGN_OR_RETURN(HubReference reference, parse_hub_reference(asked.model));
  if (!is_safe_path(asked.revision)) return invalid_input("--revision {}: no such", asked.revision);
  reference.revision = asked.revision;
  PullOptions options = pull_options_from_environment();
  if (!asked.endpoint.empty()) options.endpoint = asked.endpoint;
  options.cache = asked.cache;
  options.offline |= asked.offline;
  Lines lines;
  BRISK_ASSIGN_OR_RETURN(
      const std::string path,
      pull(reference, options, [&](const std::string& file, int64_t bytes, int64_t total) {
        lines.show(file, bytes, total);
      }));
  fmt::print("{}\n", path);
  return absl::OkStatus();
}

}  // namespace

CommandAction add_pull(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("model", options->model,
                 "ORG/NAME for its safetensors checkpoint or its best GGUF; ORG/NAME:Q4_K_M or "
                 "ORG/NAME:FILE.gguf for one of its files")
      ->required();
  app.add_option("--revision", options->revision, "branch, tag or commit")->capture_default_str();
  app.add_option("--endpoint", options->endpoint,
                 "the hub (default: HF_ENDPOINT, or https://huggingface.co)");
  app.add_option("--cache", options->cache,
                 "directory to keep models in (default: HF_HUB_CACHE, HF_HOME/hub, "
                 "~/.cache/huggingface/hub)");
  app.add_flag("--offline", options->offline, "fetch nothing, only look into the cache");
  return [options] { return run_pull(*options); };
}

}  // namespace brisk
