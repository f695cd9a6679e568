// Chooses the kernels: the best that the CPU and the operating system allow, or the level that
// BRISK_ISA (scalar, avx2, avx512, amx) asks for. "amx-emulated" is the tile kernels over tile
// instructions in software: slow, for tests, and never chosen unasked.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "compute/kernels/cpu/kernel_table.h"

namespace brisk {

// All tables this machine can run, best first.
std::vector<const KernelTable*> usable_kernels();

// `forced` empty: the best. Errors: InvalidArgument when the level is unknown or not usable here.
absl::StatusOr<const KernelTable*> choose_kernels(std::string_view forced);

// Which weights run sparse.
enum class SparseChoice : uint8_t {
  kWhereFaster,  // those with enough zeros (SparseKernel::zeros_min)
  kNever,        // to compare with
  kAlways,       // all that can: slower where there are few zeros
};

// The environment variable BRISK_SPARSE: auto (or nothing), never or always. Errors:
// InvalidArgument for anything else.
absl::StatusOr<SparseChoice> sparse_choice_from_environment();

// choose_kernels with the environment variable BRISK_ISA.
absl::StatusOr<const KernelTable*> kernels_from_environment();

}  // namespace brisk
