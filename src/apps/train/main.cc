// brisk-train: what needs gradients. One program, one subcommand a row.
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "apps/program.h"
#include "apps/train/train_command.h"

namespace brisk {
namespace {

std::vector<Command> commands() {
  return {
      {"pretrain", "a llama from random weights", add_pretrain},
      {"distill", "a small llama that learns from a large one", add_distill},
      {"qat", "a llama that learns to be quantised", add_qat},
      {"recover", "a pruned llama that learns again", add_recover},
      {"lora", "an adapter for a llama that stays as it is", add_lora},
      {"importance", "what a llama would miss, for brisk prune", add_importance},
      {"export", "the model of a run, at its newest checkpoint", add_export},
  };
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

}  // namespace
}  // namespace brisk

int main(int argc, char** argv) {
  brisk::restart_with_settings(argv);
  return brisk::run_program({.name = "brisk-train",
                             .summary = "brisk-train trains small language models that brisk runs.",
                             .commands = brisk::commands()},
                            argc, argv);
}
