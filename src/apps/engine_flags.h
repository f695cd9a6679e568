// Options of the engine that several subcommands take.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/engine.h"

namespace brisk {

void add_kv_dtype_option(CLI::App& app, KvDType* dtype);

}  // namespace brisk
