// The subcommands of brisk-train: one function here, one row in main.cc.
#pragma once

#include "apps/command.h"

namespace brisk {

CommandAction add_pretrain(CLI::App& app);
CommandAction add_distill(CLI::App& app);
CommandAction add_qat(CLI::App& app);
CommandAction add_recover(CLI::App& app);
CommandAction add_lora(CLI::App& app);
CommandAction add_importance(CLI::App& app);
CommandAction add_export(CLI::App& app);

}  // namespace brisk
