// brisk eval --tasks: how many tasks a model solves, here or behind a server.
#pragma once

#include <absl/status/status.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "apps/task_flags.h"
#include "model/kv_memory.h"
#include "model/model.h"

namespace brisk {

struct EvalTasksOptions {
  std::vector<std::string> tasks;  // one file, or names; empty: not asked for
  TaskFlags flags;
  uint64_t count = 50;  // of each task and level
  uint64_t limit = 0;
  int max_tokens = 128;
  int show_wrong = 0;
  std::string server;
  std::string server_model;
  std::string api_key;
  int concurrency = 8;
  bool json = false;
  // The model in this process, where no server is named.
  std::string model;
  std::string lora;
  std::string chat_template;  // a file
  LoadOptions load;
  KvDType kv_dtype = KvDType::kAuto;
};

void add_eval_tasks_options(CLI::App& app, EvalTasksOptions* options);

absl::Status eval_tasks(const EvalTasksOptions& options);

}  // namespace brisk
