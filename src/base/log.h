// The program's log: human-readable lines on stderr. Prompts, completions and keys are never
// logged.
#pragma once

#include <spdlog/spdlog.h>

namespace brisk {

// Sets the level ("debug", "info", "warn", "error", "off") and the line format, once, from main.
void init_log(const char* level);

}  // namespace brisk
