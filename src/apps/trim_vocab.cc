// brisk trim-vocab: a model without the tokens that a corpus never uses.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/publish.h"
#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compress/evaluate/documents.h"
#include "compress/trim/trim_vocab.h"

namespace brisk {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::string text;
  std::string tokenizer;
  PublishOptions publish;
  bool json = false;
};

absl::Status trim(Options& options) {
  BRISK_ASSIGN_OR_RETURN(const std::vector<Document> documents, read_documents(options.text));
  // Of a conversation the JSON as a whole: tokens of keys and braces stay, too.
  std::vector<std::string> texts;
  for (const Document& document : documents) texts.push_back(document.text);
  options.publish.tokenizer = options.tokenizer;
  options.publish.same_vocabulary = false;
  TrimResult result;
  return make_artefact({.in = options.in,
                        .out = options.out,
                        .publish = options.publish,
                        .json = options.json,
                        .make = [&](const std::string& path, const ShowStage&) -> absl::Status {
                          BRISK_ASSIGN_OR_RETURN(
                              result, trim_vocab(options.in, path, texts, options.tokenizer));
                          return absl::OkStatus();
                        },
                        .describe = [&](double) -> Description {
                          return {{{"out", options.out},
                                   {"bytes", result.bytes},
                                   {"tokens_before", result.tokens_before},
                                   {"tokens", result.tokens}},
                                  fmt::format("{}: {} of {} tokens, {}", options.out, result.tokens,
                                              result.tokens_before, human_bytes(result.bytes))};
                        }});
}

}  // namespace

CommandAction add_trim_vocab(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.footer("brisk trim-vocab model small.gguf --text corpus.jsonl");
  app.add_option("in", options->in, "A .gguf, a Hugging Face directory or a llama2.c .bin")
      ->required();
  app.add_option("out", options->out, "A name ending in .gguf, or a directory")->required();
  app.add_option(
         "--text", options->text,
         "What the model will read and write: a .jsonl of documents (\"text\"), or any file. "
         "Its tokens stay, and with them all bytes and special tokens: other texts still "
         "work, in more tokens")
      ->required();
  app.add_option("--tokenizer", options->tokenizer, "Tokenizer file, for models without one");
  app.add_flag("--json", options->json, "Print a JSON object");
  add_publish_options(app, &options->publish);
  return [options] { return trim(*options); };
}

}  // namespace brisk
