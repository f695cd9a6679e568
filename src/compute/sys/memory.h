// How much memory the machine has to give.
#pragma once

#include <cstdint>

namespace brisk {

// Bytes that can be used without pushing others out (MemAvailable), within the process's cgroup
// limit; 0 when the system does not say.
int64_t available_memory_bytes();

}  // namespace brisk
