// brisk-train: what needs gradients. One program, one subcommand a row.
#include <absl/status/status.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>
#include <vector>

#include "apps/train/train_command.h"
#include "base/log.h"
#include "base/status.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

const std::vector<Command>& commands() {
  static const std::vector<Command> kCommands = {
      {"pretrain", "a llama from random weights", add_pretrain},
      {"distill", "a small llama that learns from a large one", add_distill},
      {"qat", "a llama that learns to be quantised", add_qat},
      {"recover", "a pruned llama that learns again", add_recover},
      {"lora", "an adapter for a llama that stays as it is", add_lora},
      {"export", "the model of a run, at its newest checkpoint", add_export},
  };
  return kCommands;
}

// libtorch and OpenMP read these when they are loaded, which is before main: waiting threads sleep
// instead of spinning, and libtorch uses what the CPU has.
void restart_with_settings(char** argv) {
  constexpr const char* kMark = "BRISK_TRAIN_STARTED";
  if (std::getenv(kMark) != nullptr) return;
  ::setenv(kMark, "1", 1);
  ::setenv("OMP_WAIT_POLICY", "PASSIVE", 0);
  if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0) {
    ::setenv("ATEN_CPU_CAPABILITY", "avx512", 0);
  }
  ::execv("/proc/self/exe", argv);  // where it fails training is slower
}

int exit_code(const absl::Status& status) {
  constexpr size_t kMessageBytesMax = 2000;
  if (status.ok()) return 0;
  std::fprintf(stderr, "brisk-train: %s\n",
               utf8_printable(message_of(status), kMessageBytesMax).c_str());
  return 1;
}

int main_checked(int argc, char** argv) {
  CLI::App app("brisk-train trains small language models that brisk runs.");
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, CommandAction>> actions;
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    actions.emplace_back(sub, command.add(*sub));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  init_log("warn");
  for (const auto& [sub, action] : actions) {
    if (sub->parsed()) return exit_code(action());
  }
  return 1;
}

}  // namespace
}  // namespace brisk

int main(int argc, char** argv) {
  brisk::restart_with_settings(argv);
  try {
    return brisk::main_checked(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "brisk-train: internal error: %s; please report this\n", error.what());
    return 1;
  }
}
