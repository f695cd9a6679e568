// Questions that a model, here or behind a server, answers in words: `brisk eval --tasks` and
// `--questions`.
#pragma once

#include <absl/status/statusor.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/task_flags.h"
#include "compress/evaluate/answer_tasks.h"
#include "compress/evaluate/quality.h"
#include "model/kv_memory.h"
#include "model/model.h"
#include "tasks/sample.h"
#include "tasks/score.h"

namespace brisk {

struct SuiteOptions {
  std::vector<std::string> tasks;  // one file, or names; empty: not asked for
  TaskFlags flags;
  uint64_t count = 50;    // of each task and level
  std::string questions;  // a file; empty: not asked for
  uint64_t limit = 0;     // of each suite; 0: all
  int max_tokens = 128;
  std::string chat_template;  // a file
  std::string server;
  std::string server_model;
  std::string api_key;
  int concurrency = 8;
};

void add_suite_options(CLI::App& app, SuiteOptions* options);
// To ask a server instead.
void add_server_options(CLI::App& app, SuiteOptions* options);

// Questions of one kind.
struct Suite {
  std::string name;                    // "tasks" or "questions"
  std::vector<tasks::Sample> samples;  // with answers
  bool (*is_right)(std::string_view answer, std::string_view reply) = nullptr;
};

absl::StatusOr<std::vector<Suite>> load_suites(const SuiteOptions& options);

// Adds what will be asked to a report that shows what will be measured.
void outline_suites(const SuiteOptions& options, QualityReport* report);

Accuracy accuracy_of(const std::string& name, const std::vector<bool>& right);

struct SuiteResult {
  const Suite* suite = nullptr;
  TaskAnswers answers;
  tasks::ScoreBoard board;
  std::vector<bool> right;  // (samples)
};

struct SuiteModel {
  std::shared_ptr<const Model> model;
  std::string lora;  // an adapter's path; empty: none
  KvDType kv_dtype = KvDType::kAuto;
  int threads = 0;
};

// `suite` must outlive what they return.
absl::StatusOr<SuiteResult> ask_model(const SuiteModel& model, const Suite& suite,
                                      const SuiteOptions& options);
// `who`: what the server's model and address are called.
absl::StatusOr<SuiteResult> ask_server(const Suite& suite, const SuiteOptions& options,
                                       std::string* who);

}  // namespace brisk
