// Objects compiled for an instruction set must define nothing that the linker could choose for the
// whole program: a weak function from them would run on CPUs that lack the instructions.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>

namespace brisk {
namespace {

// The defined symbols of an object as `nm` prints them: "address type name" lines.
std::string defined_symbols(const std::string& object) {
  const std::string command = "nm --defined-only " + object + " 2>&1";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string output;
  std::array<char, 4096> chunk;
  while (const size_t n = fread(chunk.data(), 1, chunk.size(), pipe.get())) {
    output.append(chunk.data(), n);
  }
  return output;
}

TEST(IsaObjects, DefineNoWeakSymbols) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers add weak symbols of their own";
#endif
  const std::string dir = BRISK_BINARY_DIR "/src/CMakeFiles/brisk_compute.dir/compute/kernels/cpu/";
  for (const char* file :
       {"kernels_scalar", "kernels_avx2", "kernels_avx512", "panels_scalar", "panels_avx2",
        "panels_avx512", "sparse_scalar", "sparse_avx2", "sparse_avx512", "tiles_emulated",
        "tiles_amx", "tile_attention_emulated", "tile_attention_amx"}) {
    const std::string symbols = defined_symbols(dir + file + ".cc.o");
    const bool has_table = symbols.find("Kernels") != std::string::npos ||
                           symbols.find("TileAttention") != std::string::npos;
    ASSERT_TRUE(has_table) << symbols;
    for (const char* weak : {" W ", " V ", " u "}) {
      EXPECT_EQ(symbols.find(weak), std::string::npos) << file << ":\n" << symbols;
    }
  }
}

}  // namespace
}  // namespace brisk
