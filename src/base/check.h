// CHECKs state what must hold. They stay on in release builds; a failure is a bug in brisk, and no
// input may reach one (bad input is an absl::Status, see status.h).
#pragma once

namespace brisk {

// Prints the fact that did not hold, with its place, and aborts.
[[noreturn]] void check_failed(const char* fact, const char* file, int line);

}  // namespace brisk

#define BRISK_CHECK(fact) \
  (static_cast<bool>(fact) ? void() : ::brisk::check_failed(#fact, __FILE__, __LINE__))
