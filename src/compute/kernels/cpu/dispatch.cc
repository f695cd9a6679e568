#include "compute/kernels/cpu/dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/status.h"
#include "compute/kernels/cpu/amx_probe.h"

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

bool can_run_avx512_vbmi2() { return can_run_avx512() && __builtin_cpu_supports("avx512vbmi2"); }

bool can_run_amx() { return can_run_avx512() && amx_usable(); }
bool can_run_amx_emulated() { return can_run_avx512() && emulated_tiles_usable(); }

bool can_run_anywhere() { return true; }

struct Row {
  const KernelTable* table;
  bool (*usable)();
  bool for_tests = false;  // only where it is asked for by name
};

// Best first.
constexpr Row kRows[] = {
    {&kKernelsAmx, can_run_amx},           {&kKernelsAvx512, can_run_avx512_vbmi2},
    {&kKernelsAvx512Vnni, can_run_avx512}, {&kKernelsAvx2, can_run_avx2},
    {&kKernelsScalar, can_run_anywhere},   {&kKernelsAmxEmulated, can_run_amx_emulated, true},
};

}  // namespace

std::vector<const KernelTable*> usable_kernels() {
  std::vector<const KernelTable*> tables;
  for (const Row& row : kRows) {
    const bool named = std::any_of(tables.begin(), tables.end(), [&](const KernelTable* table) {
      return std::string_view(table->name) == row.table->name;
    });
    if (!row.for_tests && !named && row.usable()) tables.push_back(row.table);
  }
  return tables;
}

absl::StatusOr<const KernelTable*> choose_kernels(std::string_view forced) {
  for (const Row& row : kRows) {
    if (forced.empty() ? !row.for_tests : forced == row.table->name) {
      if (row.usable()) return row.table;
    }
  }
  std::string names;
  for (const KernelTable* table : usable_kernels()) {
    names += names.empty() ? table->name : fmt::format(", {}", table->name);
  }
  return invalid_input("BRISK_ISA={}: not usable on this machine; it can run: {}", forced, names);
}

absl::StatusOr<SparseChoice> sparse_choice_from_environment() {
  const char* given = std::getenv("BRISK_SPARSE");
  const std::string_view choice = given == nullptr ? "" : given;
  if (choice.empty() || choice == "auto") return SparseChoice::kWhereFaster;
  if (choice == "never") return SparseChoice::kNever;
  if (choice == "always") return SparseChoice::kAlways;
  return invalid_input("BRISK_SPARSE={}: it is auto, never or always", choice);
}

absl::StatusOr<const KernelTable*> kernels_from_environment() {
  const char* forced = std::getenv("BRISK_ISA");
  return choose_kernels(forced == nullptr ? "" : forced);
}

}  // namespace brisk
