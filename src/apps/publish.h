// How commands that make an artefact publish it: made under a name of its own, measured against
// what it came from, and given its name only when its gate holds.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "apps/eval_suites.h"
#include "base/json.h"
#include "compress/evaluate/quality.h"
#include "compress/report/gate.h"

namespace brisk {

struct PublishOptions {
  std::string text;             // what the artefact is measured on; empty: it is not
  std::string tokenizer;        // of the model it came from, where that has none
  bool same_vocabulary = true;  // its predictions can be compared with those of where it came from
  int threads = 0;              // 0: all
  SuiteOptions suites;          // what it is asked
  Gate gate;
};

// --evaluate, what is asked, and the gate's options.
void add_publish_options(CLI::App& app, PublishOptions* options);

// Where a command that makes `out` keeps what is finished, so that it can go on after a kill.
std::string work_directory_of(const std::string& out);

// Calls `make` with a name beside `out` and of its kind, measures what it made by the engine as it
// would serve it, lets it carry that report, and gives it the name `out`. When something fails, or
// the gate does not hold (FailedPrecondition, with what was missed), `out` is as it was before. The
// work directory is gone when it returns. A gate on what is not measured is an error before
// anything is made. The report; nullopt: nothing was measured.
absl::StatusOr<std::optional<QualityReport>> publish(
    const std::string& in, const std::string& out, const PublishOptions& options,
    const std::function<absl::Status(const std::string& path)>& make);

// The KL divergence that a KV cache of that format leaves `path` from `in`, whose own is f32, on
// the text. REQUIRES: there is one, and the vocabulary is the same.
absl::StatusOr<Estimate> divergence_with_kv(const std::string& in, const std::string& path,
                                            const PublishOptions& options, KvDType dtype);

// What a command says of what it made: an object for scripts, and a line for people.
struct Description {
  Json facts;
  std::string summary;
};

using ShowStage = std::function<void(std::string_view stage, int64_t done, int64_t total)>;

// A command that makes a checkpoint of another.
struct ArtefactJob {
  std::string in, out;
  PublishOptions publish;
  bool json = false;
  std::function<absl::Status(const std::string& path, const ShowStage& show)> make;
  std::function<absl::StatusOr<Description>(double seconds)> describe;  // once it is published
};

// Publishes it, shows how far it is meanwhile, and prints what came of it.
absl::Status make_artefact(const ArtefactJob& job);

// What was made and measured: an object for scripts, or lines for people that begin with `summary`.
void print_published(bool as_json, Json facts, const std::string& summary,
                     const std::optional<QualityReport>& quality);

}  // namespace brisk
