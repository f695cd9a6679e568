// The subcommands of brisk-train: one file, one function here, one row in main.cc.
#pragma once

#include "apps/command.h"

namespace brisk {

CommandAction add_pretrain(CLI::App& app);
CommandAction add_export(CLI::App& app);

}  // namespace brisk
