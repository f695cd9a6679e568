// Whether the tile kernels (tiles.h) can run here.
#pragma once

namespace brisk {

// Whether the tile unit can be used: the CPU has it, the system saves its registers, and the
// process was granted them, for which the first call asks. Then a small product must equal its
// definition, so that a machine or an emulator that computes otherwise is not trusted. Any thread.
bool amx_usable();

// Whether kTileKernelsEmulated can run.
bool emulated_tiles_usable();

}  // namespace brisk
