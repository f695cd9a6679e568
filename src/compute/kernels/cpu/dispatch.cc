#include "compute/kernels/cpu/dispatch.h"

#include <cstdlib>
#include <string>

#include "base/status.h"

namespace brisk {
namespace {

// __builtin_cpu_supports asks XGETBV too: it is false where the system does not save the registers.
bool can_run_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

bool can_run_avx512() {
  return can_run_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

bool can_run_anywhere() { return true; }

struct Row {
  const KernelTable* table;
  bool (*usable)();
};

// Best first.
constexpr Row kRows[] = {
    {&kKernelsAvx512, can_run_avx512},
    {&kKernelsAvx2, can_run_avx2},
    {&kKernelsScalar, can_run_anywhere},
};

}  // namespace

std::vector<const KernelTable*> usable_kernels() {
  std::vector<const KernelTable*> tables;
  for (const Row& row : kRows) {
    if (row.usable()) tables.push_back(row.table);
  }
  return tables;
}

absl::StatusOr<const KernelTable*> choose_kernels(std::string_view forced) {
  const auto tables = usable_kernels();
  if (forced.empty()) return tables.front();
  std::string names;
  for (const KernelTable* table : tables) {
    if (forced == table->name) return table;
    names += names.empty() ? table->name : fmt::format(", {}", table->name);
  }
  return invalid_input("BRISK_ISA={}: not usable on this machine; it can run: {}", forced, names);
}

absl::StatusOr<const KernelTable*> kernels_from_environment() {
  const char* forced = std::getenv("BRISK_ISA");
  return choose_kernels(forced == nullptr ? "" : forced);
}

}  // namespace brisk
