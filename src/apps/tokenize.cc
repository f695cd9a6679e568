// brisk tokenize: text to tokens and back, with the tokenizer of any checkpoint.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "base/json.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/checkpoint.h"
#include "model/tokenizer/read_tokenizer.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/utf8.h"

namespace brisk {
namespace {

constexpr size_t kInputBytesMax = size_t{1} << 30;

struct TokenizeOptions {
  std::string model;
  std::string text;
  bool has_text = false;
  bool ids = false;
  bool json = false;
  bool no_special = false;
  bool parse_special = false;
  bool decode = false;
};

bool is_gguf(const std::string& path) {
  const auto file = MappedFile::open(path);
  return file.ok() && file->text().starts_with("GGUF");
}

// A tokenizer file, a directory with one, or a checkpoint that carries or neighbours its own.
absl::StatusOr<TokenizerData> find_data(const std::string& path) {
  absl::Status not_a_tokenizer;
  if (!is_gguf(path)) {
    auto data = read_tokenizer(path);
    if (data.ok() || absl::IsNotFound(data.status())) return data;
    not_a_tokenizer = data.status();
  }
  const auto checkpoint = open_checkpoint(path);
  if (!checkpoint.ok()) return not_a_tokenizer.ok() ? checkpoint.status() : not_a_tokenizer;
  if ((*checkpoint)->tokenizer.kind == TokenizerKind::kNone) {
    return not_found("{}: the checkpoint has no tokenizer", path);
  }
  return (*checkpoint)->tokenizer;
}

absl::StatusOr<std::string> read_input(const TokenizeOptions& options) {
  if (options.has_text) return options.text;
  std::string text;
  std::vector<char> block(size_t{1} << 16);
  while (size_t count = std::fread(block.data(), 1, block.size(), stdin)) {
    if (text.size() + count > kInputBytesMax) {
      return exhausted("the text is longer than {} bytes", kInputBytesMax);
    }
    text.append(block.data(), count);
  }
  return text;
}

// Ids separated by spaces, commas or brackets: what --ids and --json print.
absl::StatusOr<std::vector<int32_t>> parse_ids(const std::string& text, int32_t vocab_size) {
  std::vector<int32_t> ids;
  int64_t id = -1;
  const auto finish = [&]() -> absl::Status {
    if (id >= vocab_size) return invalid_input("there is no token {}", id);
    if (id >= 0) ids.push_back(static_cast<int32_t>(id));
    id = -1;
    return absl::OkStatus();
  };
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      id = std::min<int64_t>(std::max<int64_t>(id, 0) * 10 + (c - '0'), INT32_MAX);
      continue;
    }
    if (std::string_view(" ,[]\t\r\n").find(c) == std::string_view::npos) {
      return invalid_input("'{}' is not part of a list of token ids", c);
    }
    BRISK_RETURN_IF_ERROR(finish());
  }
  BRISK_RETURN_IF_ERROR(finish());
  return ids;
}

void print_ids(const std::vector<int32_t>& ids) {
  std::string line;
  for (const int32_t id : ids) line += fmt::format("{}{}", line.empty() ? "" : " ", id);
  fmt::print("{}\n", line);
}

void print_json(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  Json tokens = Json::array();
  for (const int32_t id : ids) {
    tokens.push_back({{"id", id}, {"text", tokenizer.decode_token(id, true)}});
  }
  fmt::print("{}\n", to_text({{"count", ids.size()}, {"tokens", std::move(tokens)}}));
}

// A piece as one line: quoted, with what a terminal would not show escaped.
std::string visible(std::string_view piece) {
  std::string text = "\"";
  while (!piece.empty()) {
    const Utf8Char c = utf8_first(piece);
    const std::string_view bytes = piece.substr(0, c.size);
    if (bytes == "\n") {
      text += "\\n";
    } else if (bytes == "\t") {
      text += "\\t";
    } else if (bytes == "\r") {
      text += "\\r";
    } else if (bytes == "\"" || bytes == "\\") {
      text += fmt::format("\\{}", bytes);
    } else if (c.state != Utf8State::kValid || c.code < 0x20 || c.code == 0x7F) {
      for (const char byte : bytes) {
        text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      text += bytes;
    }
    piece.remove_prefix(c.size);
  }
  return text + '"';
}

void print_table(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  fmt::print("{:>8}  {}\n", "id", "piece");
  for (const int32_t id : ids) {
    fmt::print("{:>8}  {}{}\n", id, visible(tokenizer.decode_token(id, true)),
               tokenizer.is_control(id) ? "  (control)" : "");
  }
  fmt::print("{} tokens\n", ids.size());
}

absl::Status tokenize(const TokenizeOptions& options) {
  BRISK_ASSIGN_OR_RETURN(TokenizerData data, find_data(options.model));
  auto created = Tokenizer::create(std::move(data));
  if (!created.ok()) return annotate(created.status(), options.model);
  const Tokenizer& tokenizer = **created;
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_input(options));
  if (options.decode) {
    BRISK_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, parse_ids(text, tokenizer.vocab_size()));
    const std::string decoded = tokenizer.decode(ids, !options.no_special);
    std::fwrite(decoded.data(), 1, decoded.size(), stdout);
    std::fputc('\n', stdout);
    return absl::OkStatus();
  }
  const std::vector<int32_t> ids = tokenizer.encode(
      text, {.add_special = !options.no_special, .parse_special = options.parse_special});
  if (options.json) {
    print_json(tokenizer, ids);
  } else if (options.ids) {
    print_ids(ids);
  } else {
    print_table(tokenizer, ids);
  }
  return absl::OkStatus();
}

}  // namespace

CommandAction add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  app.add_option("model", options->model, "a checkpoint or a tokenizer file")->required();
  CLI::Option* text = app.add_option("text", options->text, "the text; standard input without it");
  app.add_flag("--ids", options->ids, "print only the ids, separated by spaces");
  app.add_flag("--json", options->json, "print ids and pieces as JSON");
  app.add_flag("--no-special", options->no_special,
               "without the tokens that the model puts around a text");
  app.add_flag("--parse-special", options->parse_special,
               "read special tokens such as <|im_end|> in the text as such");
  app.add_flag("--decode", options->decode, "the text is a list of ids: print what they spell");
  return [options, text]() {
    options->has_text = text->count() > 0;
    return tokenize(*options);
  };
}

}  // namespace brisk
