#include "compute/kernels/cpu/amx_probe.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

#include "compute/kernels/cpu/tiles.h"

namespace brisk {
namespace {

struct Cpuid {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Cpuid cpuid(unsigned leaf, unsigned subleaf) {
  Cpuid r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

// The register sets that the system saves. REQUIRES: OSXSAVE.
uint64_t saved_states() {
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool cpu_has_tiles() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;  // edx
  const unsigned wanted = kAmxBf16 | kAmxTile | kAmxInt8;
  return (cpuid(7, 0).edx & wanted) == wanted;
}

bool system_saves_tiles() {
  constexpr unsigned kOsXsave = 1u << 27;              // leaf 1, ecx
  constexpr uint64_t kTileStates = uint64_t{3} << 17;  // configuration and data
  if ((cpuid(1, 0).ecx & kOsXsave) == 0) return false;
  return (saved_states() & kTileStates) == kTileStates;
}

// Linux hands out the 8 KiB of tile data to whoever asks (Documentation/arch/x86/xstate.rst); the
// permission holds for every thread of the process.
bool process_may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// A product of every path, with numbers whose sums depend on their order.
struct SmallProduct {
  static constexpr int64_t kRows = 49, kGroups = 3, kColumns = 32;

  explicit SmallProduct(const TileKernels& kernels) {
    uint32_t state = 1;
    const auto next = [&] {  // 24 bits of a linear congruential generator, in [-1, 1)
      state = state * 1664525 + 1013904223;
      return static_cast<float>(state >> 8) * 0x1p-23f - 1;
    };
    std::array<float, kRows * kGroups * kTileInputs> inputs;
    for (float& value : inputs) value = next() * next();
    for (uint16_t& weight : weights) {
      const float value = next() * next();
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      weight = static_cast<uint16_t>(bits >> 16);
    }
    const int64_t first_rows[] = {1, 17, kRows};
    for (const int64_t rows : first_rows) {
      const TileRows x = {.data = packed, .rows = rows, .groups = kGroups};
      kernels.pack_rows({.x = inputs.data(),
                         .x_stride = kGroups * kTileInputs,
                         .first_task = 0,
                         .last_task = tile_row_blocks(rows) * kGroups,
                         .out = x});
      kernels.linear[static_cast<size_t>(TileFormat::kBF16)]({.x = x,
                                                              .panels = weights,
                                                              .panel_bytes = sizeof weights,
                                                              .cols = kColumns,
                                                              .bias = nullptr,
                                                              .y = outputs.data(),
                                                              .y_stride = kColumns,
                                                              .add = rows > 1,
                                                              .scratch = scratch});
    }
  }

  alignas(64) uint16_t weights[kColumns * kGroups * kTileInputs];
  alignas(64) std::byte packed[tile_rows_bytes(kRows, kGroups)];
  alignas(64) std::byte scratch[kTileScratchBytes];
  std::array<float, kRows * kColumns> outputs = {};
};

bool tiles_equal_their_definition() {
  const auto ours = std::make_unique<SmallProduct>(kTileKernelsAmx);
  const auto defined = std::make_unique<SmallProduct>(kTileKernelsEmulated);
  return std::memcmp(ours->outputs.data(), defined->outputs.data(), sizeof ours->outputs) == 0;
}

}  // namespace

bool emulated_tiles_usable() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bf16");
}

bool amx_usable() {
  static const bool usable = emulated_tiles_usable() && cpu_has_tiles() && system_saves_tiles() &&
                             process_may_use_tiles() && tiles_equal_their_definition();
  return usable;
}

}  // namespace brisk
