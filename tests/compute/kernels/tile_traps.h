// The tile instructions for a CPU that lacks them: it stops at each, and the handler of SIGILL does
// what the instruction says. So the very machine code of the AMX kernels runs anywhere, slowly.
// Encodings and meaning: Intel's manual, volume 2, and "Tile instructions" of volume 1.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "compute/kernels/cpu/tiles.h"

namespace brisk {

// While it lives, tile instructions of this process are trapped. One at a time; one thread.
class TileTraps {
 public:
  TileTraps() {
    state() = {};
    struct sigaction action = {};
    action.sa_sigaction = on_illegal;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGILL, &action, &before_);
  }
  ~TileTraps() { ::sigaction(SIGILL, &before_, nullptr); }
  TileTraps(const TileTraps&) = delete;
  TileTraps& operator=(const TileTraps&) = delete;

  static int64_t trapped() { return state().trapped; }

 private:
  struct State {
    int64_t trapped;
    TileConfig config;
    uint32_t tiles[8][16][16];
  };
  static State& state() {
    static State only;
    return only;
  }

  // A VEX instruction of three prefix bytes, as far as tile instructions go.
  struct Instruction {
    int prefix;  // 0: none, 1: 66, 2: F3, 3: F2
    int opcode;
    int reg, rm, vvvv;  // tiles
    bool memory;
    uint64_t address, stride;
    int length;
  };

  static uint64_t value_of(const greg_t* registers, int number) {
    constexpr int kPlaces[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                 REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15};
    return static_cast<uint64_t>(registers[kPlaces[number]]);
  }

  static Instruction decode(const greg_t* registers) {
    const auto* at = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
    if (at[0] != 0xC4 || (at[1] & 31) != 2) std::abort();  // not one of ours
    const int x = at[1] & 0x40 ? 0 : 8, b = at[1] & 0x20 ? 0 : 8;
    Instruction op = {.prefix = at[2] & 3,
                      .opcode = at[3],
                      .reg = at[4] >> 3 & 7,
                      .rm = at[4] & 7,
                      .vvvv = ~(at[2] >> 3) & 15,
                      .memory = at[4] >> 6 != 3,
                      .address = 0,
                      .stride = 0,
                      .length = 5};
    if (!op.memory) return op;
    const int mod = at[4] >> 6;
    int base = op.rm;
    if (op.rm == 4) {
      const uint8_t sib = at[op.length++];
      base = sib & 7;
      const int index = (sib >> 3 & 7) | x;
      if (index != 4) op.stride = value_of(registers, index) << (sib >> 6);
    }
    if (mod == 0 && base == 5) std::abort();  // no base: compilers have no use for it here
    op.address = value_of(registers, base | b);
    int32_t displacement = 0;
    if (mod == 1) displacement = static_cast<int8_t>(at[op.length++]);
    if (mod == 2) {
      std::memcpy(&displacement, at + op.length, 4);
      op.length += 4;
    }
    op.address += static_cast<uint64_t>(int64_t{displacement});
    return op;
  }

  static void on_illegal(int, siginfo_t*, void* context) {
    greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const Instruction op = decode(registers);
    State& s = state();
    ++s.trapped;
    if (op.opcode == 0x49 && op.prefix == 0 && op.memory) {  // LDTILECFG
      std::memset(s.tiles, 0, sizeof s.tiles);
      std::memcpy(&s.config, reinterpret_cast<const void*>(op.address), sizeof s.config);
      if (s.config.palette != 1) std::abort();
    } else if (op.opcode == 0x49 && op.prefix == 0) {  // TILERELEASE
      s.config = {};
    } else if (op.opcode == 0x49 && op.prefix == 3 && !op.memory) {  // TILEZERO
      check_configured(op.reg);
      std::memset(s.tiles[op.reg], 0, sizeof s.tiles[0]);
    } else if (op.opcode == 0x4B && op.memory) {
      check_configured(op.reg);
      move(op);
    } else if (op.opcode == 0x5C && op.prefix == 2 && !op.memory) {  // TDPBF16PS
      dot_bf16(op.reg, op.rm, op.vvvv);
    } else if (op.opcode == 0x5E && op.prefix == 3 && !op.memory) {  // TDPBSSD
      dot_int8(op.reg, op.rm, op.vvvv);
    } else {
      std::abort();
    }
    registers[REG_RIP] += op.length;
  }

  static void check_configured(int t) {
    const TileConfig& config = state().config;
    if (config.palette != 1 || t > 7 || config.rows[t] == 0) std::abort();
  }

  static void move(const Instruction& op) {
    State& s = state();
    const bool store = op.prefix == 2;
    if (!store && op.prefix != 3) std::abort();
    if (!store) std::memset(s.tiles[op.reg], 0, sizeof s.tiles[0]);
    for (unsigned r = 0; r < s.config.rows[op.reg]; ++r) {
      auto* memory = reinterpret_cast<void*>(op.address + r * op.stride);
      uint32_t* row = s.tiles[op.reg][r];
      std::memcpy(store ? memory : row, store ? row : memory, s.config.row_bytes[op.reg]);
    }
  }

  static void check_shapes(int c, int a, int b) {
    const TileConfig& config = state().config;
    for (const int t : {c, a, b}) check_configured(t);
    const bool fits = config.rows[a] == config.rows[c] &&
                      config.row_bytes[b] == config.row_bytes[c] &&
                      config.row_bytes[a] == 4 * config.rows[b];
    if (!fits || a == b || a == c || b == c) std::abort();
  }

  static float flushed(float value) { return std::fpclassify(value) == FP_SUBNORMAL ? 0 : value; }
  static float as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return flushed(value);
  }

  static void dot_bf16(int c, int a, int b) {
    check_shapes(c, a, b);
    State& s = state();
    for (int m = 0; m < s.config.rows[c]; ++m) {
      for (int n = 0; n < s.config.row_bytes[c] / 4; ++n) {
        float even = 0, odd = 0;
        for (int k = 0; k < s.config.rows[b]; ++k) {
          const uint32_t w = s.tiles[a][m][k], x = s.tiles[b][k][n];
          even = flushed(std::fma(as_float(w << 16), as_float(x << 16), even));
          odd = flushed(std::fma(as_float(w & 0xFFFF0000), as_float(x & 0xFFFF0000), odd));
        }
        const float sum = flushed(as_float(s.tiles[c][m][n]) + flushed(even + odd));
        std::memcpy(&s.tiles[c][m][n], &sum, 4);
      }
    }
  }

  static void dot_int8(int c, int a, int b) {
    check_shapes(c, a, b);
    State& s = state();
    for (int m = 0; m < s.config.rows[c]; ++m) {
      for (int n = 0; n < s.config.row_bytes[c] / 4; ++n) {
        for (int k = 0; k < 4 * s.config.rows[b]; ++k) {
          const auto w = static_cast<int8_t>(s.tiles[a][m][k / 4] >> k % 4 * 8);
          const auto x = static_cast<int8_t>(s.tiles[b][k / 4][n] >> k % 4 * 8);
          s.tiles[c][m][n] += static_cast<uint32_t>(w * x);
        }
      }
    }
  }

  struct sigaction before_;
};

}  // namespace brisk
