#include "apps/program.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/structured_log.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

// Messages quote files, whose names and keys may be anything.
int exit_code(const Program& program, const absl::Status& status) {
  constexpr size_t kMessageBytesMax = 2000;
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", program.name,
               utf8_printable(message_of(status), kMessageBytesMax).c_str());
  return absl::IsFailedPrecondition(status) ? 2 : 1;
}

int run_checked(const Program& program, int argc, char** argv) {
  CLI::App app(program.summary);
  app.require_subcommand(1);
  std::string log_level = "warn";
  app.add_option("--log-level", log_level, "debug, info, warn, error or off")
      ->capture_default_str();
  std::string log_format = "text";
  app.add_option("--log-format", log_format, "lines for people, or JSON for machines")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  std::vector<std::pair<CLI::App*, CommandAction>> actions;
  for (const Command& command : program.commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    actions.emplace_back(sub, command.add(*sub));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  log_format == "json" ? init_json_log(log_level.c_str()) : init_log(log_level.c_str());
  for (const auto& [sub, action] : actions) {
    if (sub->parsed()) return exit_code(program, action());
  }
  return 1;
}

}  // namespace

int run_program(const Program& program, int argc, char** argv) {
  try {
    return run_checked(program, argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: internal error: %s; please report this\n", program.name,
                 error.what());
    return 1;
  }
}

}  // namespace brisk
