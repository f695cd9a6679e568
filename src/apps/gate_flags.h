// Options of the gate that an artefact must hold, shared by the commands that make or measure one.
#pragma once

#include <CLI/CLI.hpp>

#include "compress/report/gate.h"

namespace brisk {

// --max-kl, --max-ppl-increase, --min-task, --max-size.
void add_gate_options(CLI::App& app, Gate* gate);

}  // namespace brisk
