// brisk: one program, one subcommand a row.
#include <absl/status/status.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <vector>

#include "apps/command.h"
#include "base/status.h"
#include "base/structured_log.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

const std::vector<Command>& commands() {
  static const std::vector<Command> kCommands = {
      {"run", "generate from a prompt, or chat, in the terminal", add_run},
      {"serve", "a model behind OpenAI's API", add_serve},
      {"pull", "fetch a model from a Hugging Face-style hub", add_pull},
      {"key", "the API keys of a server", add_key},
      {"batch", "answer a file of requests, and go on where it was interrupted", add_batch},
      {"load", "how well a server holds up under load, any that speaks OpenAI's API", add_load},
      {"bench", "how fast a model runs here, and how far that is from the machine's limits",
       add_bench},
      {"profile", "where the time goes, operation by operation", add_profile},
      {"eval", "how well a model predicts a text, or solves tasks", add_eval},
      {"tokenize", "text to tokens and back", add_tokenize},
      {"tokenizer", "train a tokenizer", add_tokenizer},
      {"tasks", "exercises with known answers and stories, for training and scoring", add_tasks},
      {"inspect", "what is in a checkpoint", add_inspect},
      {"convert", "a checkpoint in another layout or format", add_convert},
      {"compile", "pack a model's weights once, so that it opens at once", add_compile},
      {"quantize", "a model's weights in fewer bits, chosen with what texts tell of its inputs",
       add_quantize},
      {"prune", "a model with fewer weights", add_prune},
      {"trim-vocab", "a model without the tokens that a corpus never uses", add_trim_vocab},
      {"synth", "write random weights in the shape of a real model", add_synth},
      {"completion", "completion of commands and flags for a shell", add_completion},
      {"man", "the manual page", add_man},
  };
  return kCommands;
}

// Messages quote files, whose names and keys may be anything.
int exit_code(const absl::Status& status) {
  constexpr size_t kMessageBytesMax = 2000;
  if (status.ok()) return 0;
  std::fprintf(stderr, "brisk: %s\n", utf8_printable(message_of(status), kMessageBytesMax).c_str());
  return absl::IsFailedPrecondition(status) ? 2 : 1;
}

int main_checked(int argc, char** argv) {
  CLI::App app("brisk makes open-weight language models fast.");
  app.require_subcommand(1);
  std::string log_level = "warn";
  app.add_option("--log-level", log_level, "debug, info, warn, error or off")
      ->capture_default_str();
  std::string log_format = "text";
  app.add_option("--log-format", log_format, "lines for people, or JSON for machines")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  std::vector<std::pair<CLI::App*, CommandAction>> actions;
  for (const Command& command : commands()) {
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
    if (sub->parsed()) return exit_code(action());
  }
  return 1;
}

}  // namespace
}  // namespace brisk

int main(int argc, char** argv) {
  try {
    return brisk::main_checked(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "brisk: internal error: %s; please report this\n", error.what());
    return 1;
  }
}
