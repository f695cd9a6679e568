// brisk: one program, one subcommand a row.
#include <vector>

#include "apps/command.h"
#include "apps/program.h"

namespace brisk {
namespace {

std::vector<Command> commands() {
  return {
      {"run", "generate from a prompt, or chat, in the terminal", add_run},
      {"serve", "a model behind OpenAI's API", add_serve},
      {"pull", "fetch a model from a Hugging Face-style hub", add_pull},
      {"key", "the API keys of a server", add_key},
      {"batch", "answer a file of requests, and go on where it was interrupted", add_batch},
      {"load", "how well a server holds up under load, any that speaks OpenAI's API", add_load},
      {"bench", "how fast a model runs here, and how far that is from the machine's limits",
       add_bench},
      {"profile", "where the time goes, operation by operation", add_profile},
      {"eval", "how good models are, and what they lost against a reference", add_eval},
      {"tokenize", "text to tokens and back", add_tokenize},
      {"tokenizer", "train a tokenizer", add_tokenizer},
      {"tasks", "exercises with known answers and stories, for training and scoring", add_tasks},
      {"inspect", "what is in a checkpoint", add_inspect},
      {"convert", "a checkpoint in another layout or format", add_convert},
      {"compile", "pack a model's weights once for this machine, so that it opens at once",
       add_compile},
      {"quantize", "a model's weights in fewer bits, chosen with what texts tell of its inputs",
       add_quantize},
      {"prune", "a model with fewer weights", add_prune},
      {"factorize", "a model whose matrices are products of two smaller ones", add_factorize},
      {"trim-vocab", "a model without the tokens that a corpus never uses", add_trim_vocab},
      {"compress", "the steps of a recipe one after the other: prune, train, quantize, gate",
       add_compress},
      {"synth", "write random weights in the shape of a real model", add_synth},
      {"completion", "completion of commands and flags for a shell", add_completion},
      {"man", "the manual page", add_man},
  };
}

}  // namespace
}  // namespace brisk

int main(int argc, char** argv) {
  return brisk::run_program({.name = "brisk",
                             .summary = "brisk makes open-weight language models fast.",
                             .commands = brisk::commands()},
                            argc, argv);
}
