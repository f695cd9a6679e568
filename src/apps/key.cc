// brisk key: the file of API keys of `brisk serve --api-keys`.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/command.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "engine/sched/tenant.h"
#include "serve/http/key_file.h"

namespace brisk {
namespace {

using http::ApiKey;

constexpr size_t kKeysBytesMax = 1 << 20;
constexpr size_t kIdLength = 8;  // hex digits of the digest that are shown

struct KeyOptions {
  std::string file;
  std::string name;
  ApiKey key;  // what a new one may use
};

std::string id_of(const ApiKey& key) { return http::to_hex(key.digest).substr(0, kIdLength); }

// The text of the file; empty when there is none.
absl::StatusOr<std::string> read_or_empty(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) || std::filesystem::file_size(path, error) == 0) {
    return std::string();
  }
  return read_file(path, kKeysBytesMax);
}

// Only the owner may read it.
absl::Status write_keys(const std::string& path, std::string_view text) {
  const mode_t before = ::umask(077);
  const absl::Status status = write_file_atomically(path, text);
  ::umask(before);
  return status;
}

absl::Status add(const KeyOptions& options) {
  if (!http::is_key_name(options.name)) {
    return invalid_input("--name {}: use letters, digits, '-', '_' and '.', 64 at most",
                         options.name);
  }
  BRISK_ASSIGN_OR_RETURN(std::string text, read_or_empty(options.file));
  const std::string secret = http::make_random_key();
  ApiKey key = options.key;
  key.name = options.name;
  key.digest = http::sha256(secret);
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  text += http::format_api_key(key) + '\n';
  BRISK_ASSIGN_OR_RETURN(const std::vector<ApiKey> keys, http::parse_api_keys(text, options.file));
  if (std::ranges::count(keys, options.name, &ApiKey::name) > 1) {
    return invalid_input("{} has a key named {}; remove it first, or use another name",
                         options.file, options.name);
  }
  BRISK_RETURN_IF_ERROR(write_keys(options.file, text));
  fmt::print("{}\n", secret);
  fmt::print(
      stderr,
      "This is the key {}. It is shown only now: {} holds its SHA-256. A running server reads "
      "the file again on SIGHUP.\n",
      options.name, options.file);
  return absl::OkStatus();
}

std::string limit_text(int64_t limit) { return limit == 0 ? "-" : std::to_string(limit); }

absl::Status list(const KeyOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(options.file, kKeysBytesMax));
  BRISK_ASSIGN_OR_RETURN(const std::vector<ApiKey> keys, http::parse_api_keys(text, options.file));
  fmt::print("{:<20} {:<8} {:>6} {:>12} {:>12} {:>10} {:>14}  {}\n", "name", "id", "weight",
             "requests/min", "tokens/min", "concurrent", "tokens total", "kept as");
  for (const ApiKey& key : keys) {
    fmt::print("{:<20} {:<8} {:>6} {:>12} {:>12} {:>10} {:>14}  {}\n",
               key.name.empty() ? "-" : key.name, id_of(key), key.weight,
               limit_text(key.limits.requests_per_minute), limit_text(key.limits.tokens_per_minute),
               limit_text(key.limits.concurrent), limit_text(key.limits.tokens_total),
               key.key.empty() ? "SHA-256" : "plain text");
  }
  return absl::OkStatus();
}

// The text of a key file with every line that holds a key replaced by `change` of it; nothing: the
// line goes.
template <class Change>
absl::StatusOr<std::string> edit_lines(const std::string& text, const std::string& path,
                                       const Change& change) {
  BRISK_RETURN_IF_ERROR(http::parse_api_keys(text, path).status());
  std::string edited;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    const auto parsed = http::parse_api_keys(line, path);
    const std::optional<std::string> kept = parsed.ok() ? change(parsed->front(), line) : line;
    if (kept.has_value()) edited += *kept + '\n';
  }
  return edited;
}

absl::Status remove(const KeyOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(options.file, kKeysBytesMax));
  int removed = 0;
  BRISK_ASSIGN_OR_RETURN(
      const std::string edited,
      edit_lines(text, options.file,
                 [&](const ApiKey& key, const std::string& line) -> std::optional<std::string> {
                   if (key.name != options.name && id_of(key) != options.name) return line;
                   ++removed;
                   return std::nullopt;
                 }));
  if (removed == 0) {
    return not_found("{} has no key with the name or id {}; `brisk key list {}` shows them",
                     options.file, options.name, options.file);
  }
  BRISK_RETURN_IF_ERROR(write_keys(options.file, edited));
  fmt::print(stderr, "Removed. A running server forgets the key on SIGHUP.\n");
  return absl::OkStatus();
}

absl::Status hash(const KeyOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(options.file, kKeysBytesMax));
  int hashed = 0;
  BRISK_ASSIGN_OR_RETURN(
      const std::string edited,
      edit_lines(text, options.file,
                 [&](const ApiKey& key, const std::string& line) -> std::optional<std::string> {
                   if (key.key.empty()) return line;
                   ++hashed;
                   return http::format_api_key(key);
                 }));
  if (hashed > 0) BRISK_RETURN_IF_ERROR(write_keys(options.file, edited));
  fmt::print(stderr, "{} keys of {} that stood there in plain text are SHA-256 now.\n", hashed,
             options.file);
  return absl::OkStatus();
}

CLI::App* add_file_command(CLI::App& app, KeyOptions& options, const char* name,
                           const char* summary) {
  CLI::App* command = app.add_subcommand(name, summary);
  command->add_option("file", options.file, "the file of keys")->required();
  return command;
}

}  // namespace

CommandAction add_key(CLI::App& app) {
  app.require_subcommand(1);
  app.footer(
      "brisk key add keys.txt --name alice --requests-per-minute 60\n"
      "brisk serve model.gguf --api-keys keys.txt");
  auto options = std::make_shared<KeyOptions>();
  CLI::App* adding = add_file_command(app, *options, "add",
                                      "Makes a random key, prints it, and keeps its SHA-256");
  adding->add_option("--name", options->name, "whose it is")->required();
  adding->add_option("--weight", options->key.weight, "its share of a busy server")
      ->check(CLI::Range(1, kTenantWeightMax));
  http::KeyLimits& limits = options->key.limits;
  const CLI::Range positive(int64_t{1}, int64_t{1} << 60);
  adding->add_option("--requests-per-minute", limits.requests_per_minute, "beyond: 429")
      ->check(positive);
  adding->add_option("--tokens-per-minute", limits.tokens_per_minute, "of prompts and answers")
      ->check(positive);
  adding->add_option("--concurrent", limits.concurrent, "requests running at once")
      ->check(positive);
  adding->add_option("--tokens-total", limits.tokens_total, "ever; then the key is used up")
      ->check(positive);
  CLI::App* listing = add_file_command(app, *options, "list", "Shows keys by name, never whole");
  CLI::App* removing = add_file_command(app, *options, "remove", "Removes a key");
  removing->add_option("name", options->name, "name or id of the key")->required();
  add_file_command(app, *options, "hash", "Replaces keys in plain text by their SHA-256");
  return [=] {
    if (adding->parsed()) return add(*options);
    if (listing->parsed()) return list(*options);
    return removing->parsed() ? remove(*options) : hash(*options);
  };
}

}  // namespace brisk
