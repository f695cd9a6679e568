// Options of the engine that several subcommands take.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/engine.h"
#include "model/model.h"

namespace brisk {

void add_kv_dtype_option(CLI::App& app, KvDType* dtype);
void add_activations_option(CLI::App& app, Activations* activations);
void add_policy_option(CLI::App& app, BatchPolicy* policy);

}  // namespace brisk
