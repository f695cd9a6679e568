// The tile units that tests can run: one in software; the machine code of the AMX kernels with its
// tile instructions trapped, where there is none; the real one.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>

#include "compute/kernels/cpu/amx_probe.h"
#include "tests/compute/kernels/tile_traps.h"

namespace brisk {

template <class Kernels>
struct TileUnit {
  const char* name;
  const Kernels* kernels;
  bool (*usable)();
  bool trap = false;  // a tile instruction takes some ten microseconds

  friend void PrintTo(const TileUnit& unit, std::ostream* out) { *out << unit.name; }
};

inline bool only_traps_usable() { return emulated_tiles_usable() && !amx_usable(); }

template <class Kernels>
auto tile_units(const Kernels& emulated, const Kernels& amx) {
  using Unit = TileUnit<Kernels>;
  return testing::Values(Unit{"emulated", &emulated, emulated_tiles_usable},
                         Unit{"trapped", &amx, only_traps_usable, true},
                         Unit{"amx", &amx, amx_usable});
}

template <class Kernels>
class OnTileUnits : public testing::TestWithParam<TileUnit<Kernels>> {
 protected:
  void SetUp() override {
    if (!unit().usable()) GTEST_SKIP() << "this machine cannot run " << unit().name;
    if (unit().trap) traps_.emplace();
  }
  void TearDown() override {
    if (traps_.has_value() && !this->IsSkipped()) {
      EXPECT_GT(TileTraps::trapped(), 0);
    }
  }
  const TileUnit<Kernels>& unit() const { return this->GetParam(); }
  const Kernels& kernels() const { return *unit().kernels; }

 private:
  std::optional<TileTraps> traps_;
};

}  // namespace brisk
