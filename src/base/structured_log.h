// The log as JSON lines, for machines: {"time", "level", "message", ...}. And events that have
// fields, in both formats. Like the rest of the log they never carry prompts, completions or keys.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/log.h"

namespace brisk {

// In place of init_log, once, from main.
void init_json_log(const char* level);

// One event at the level info: a JSON line with its fields, or "message key=value ...".
void log_event(std::string_view message,
               std::initializer_list<std::pair<std::string_view, Json>> fields);

}  // namespace brisk
