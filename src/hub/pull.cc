#include "hub/pull.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "base/split_name.h"
#include "base/status.h"
#include "base/units.h"
#include "hub/blob.h"
#include "hub/listing.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string directory_of(const HubReference& reference, const PullOptions& options) {
  std::string name = "models--" + reference.repo;
  name.replace(name.find('/'), 1, "--");
  return (fs::path(options.cache.empty() ? hub_cache_directory() : options.cache) / name).string();
}

// A token in clear text is anybody's.
absl::Status check_endpoint(const PullOptions& options) {
  const std::string& url = options.endpoint;
  const bool secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://")) {
    return invalid_input("the hub {} is not an http:// or https:// address", url);
  }
  const std::string host = url.substr(url.find("//") + 2);
  const auto is = [&](std::string_view name) {
    return host.starts_with(name) &&
           (host.size() == name.size() || host[name.size()] == ':' || host[name.size()] == '/');
  };
  const bool local = is("localhost") || is("127.0.0.1") || is("[::1]");
  if (!secure && !local && !options.fetch.token.empty()) {
    return invalid_input("HF_TOKEN would travel to {} in clear text: use https://, or unset it",
                         url);
  }
  return absl::OkStatus();
}

absl::Status make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return system_error("{}: {}", path.string(), error.message());
  return absl::OkStatus();
}

absl::Status check_disk(const std::string& directory, const std::vector<HubFile>& files) {
  int64_t missing = 0;
  std::error_code ignored;
  for (const HubFile& file : files) {
    const fs::path blob = fs::path(directory) / "blobs" / file.etag();
    if (fs::exists(blob, ignored)) continue;
    const auto have = fs::file_size(blob.string() + ".incomplete", ignored);
    missing += file.bytes - (ignored ? 0 : std::min(file.bytes, static_cast<int64_t>(have)));
  }
  const fs::space_info space = fs::space(directory, ignored);
  if (ignored || static_cast<int64_t>(space.available) >= missing) return absl::OkStatus();
  return exhausted("{} are to be fetched, but {} has {} free",
                   human_bytes(static_cast<uint64_t>(missing)), directory,
                   human_bytes(space.available));
}

// snapshots/COMMIT/a/b -> ../../../blobs/ETAG. What was there under the name is replaced.
absl::Status link_file(const fs::path& directory, const std::string& commit, const HubFile& file) {
  const fs::path link = directory / "snapshots" / commit / file.path;
  BRISK_RETURN_IF_ERROR(make_directories(link.parent_path()));
  const fs::path target =
      fs::path(directory / "blobs" / file.etag()).lexically_relative(link.parent_path());
  std::error_code error;
  if (fs::is_symlink(link, error) && fs::read_symlink(link, error) == target) {
    return absl::OkStatus();
  }
  fs::remove(link, error);
  fs::create_symlink(target, link, error);
  if (error) return system_error("{}: {}", link.string(), error.message());
  return absl::OkStatus();
}

absl::Status write_ref(const fs::path& directory, const HubReference& reference,
                       const std::string& commit) {
  const fs::path path = directory / "refs" / reference.revision;
  BRISK_RETURN_IF_ERROR(make_directories(path.parent_path()));
  std::ofstream out(path, std::ios::trunc);
  out << commit;
  out.close();
  if (!out) return system_error("{} cannot be written", path.string());
  return absl::OkStatus();
}

// Another file of that name and size has been checked when it was put there.
bool is_there(const std::string& path, int64_t bytes) {
  std::error_code error;
  return fs::is_regular_file(path, error) &&
         static_cast<int64_t>(fs::file_size(path, error)) == bytes;
}

// One segment of a URL, slashes and all.
std::string url_segment(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '/' ? "%2F" : url_path(std::string_view(&c, 1));
  return out;
}

absl::StatusOr<HubListing> list(const HubReference& reference, const PullOptions& options) {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", options.endpoint,
                                      url_path(reference.repo), url_segment(reference.revision));
  absl::StatusOr<std::string> text = fetch_text(url, options.fetch, kListingBytesMax);
  if (!text.ok()) return annotate(text.status(), options.endpoint);
  return parse_listing(*text);
}

absl::StatusOr<std::string> fetch(const HubReference& reference, const PullOptions& options,
                                  const PullProgress& progress) {
  BRISK_ASSIGN_OR_RETURN(const HubListing listing, list(reference, options));
  BRISK_ASSIGN_OR_RETURN(const HubChoice choice, choose_files(listing, reference.file));
  const fs::path directory = directory_of(reference, options);
  BRISK_RETURN_IF_ERROR(make_directories(directory / "blobs"));
  BRISK_RETURN_IF_ERROR(check_disk(directory.string(), choice.files));
  for (const HubFile& file : choice.files) {
    const std::string blob = (directory / "blobs" / file.etag()).string();
    if (is_there(blob, file.bytes)) continue;
    const std::string url =
        fmt::format("{}/{}/resolve/{}/{}", options.endpoint, url_path(reference.repo),
                    listing.commit, url_path(file.path));
    const absl::Status status = fetch_blob(url, file, blob, options, [&](int64_t have) {
      if (progress != nullptr) progress(file.path, have, file.bytes);
    });
    if (!status.ok()) return annotate(status, file.path);
  }
  // Nothing is linked before everything is here: a snapshot is whole.
  for (const HubFile& file : choice.files) {
    BRISK_RETURN_IF_ERROR(link_file(directory, listing.commit, file));
  }
  BRISK_RETURN_IF_ERROR(write_ref(directory, reference, listing.commit));
  return (directory / "snapshots" / listing.commit / choice.open).lexically_normal().string();
}

}  // namespace

PullOptions pull_options_from_environment() {
  PullOptions options;
  if (const std::string endpoint = environment("HF_ENDPOINT"); !endpoint.empty()) {
    options.endpoint = endpoint;
  }
  options.fetch.token = environment("HF_TOKEN");
  const std::string offline = environment("HF_HUB_OFFLINE");
  options.offline = offline == "1" || offline == "true" || offline == "yes" || offline == "on";
  return options;
}

std::string hub_cache_directory() {
  if (const std::string cache = environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return home + "/hub";
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return cache + "/huggingface/hub";
  }
  const std::string home = environment("HOME");
  return (home.empty() ? "." : home) + "/.cache/huggingface/hub";
}

absl::StatusOr<std::string> pull(const HubReference& reference, const PullOptions& options,
                                 const PullProgress& progress) {
  if (options.offline) return find_pulled(reference, options);
  BRISK_RETURN_IF_ERROR(check_endpoint(options));
  PullOptions trimmed = options;
  while (trimmed.endpoint.ends_with('/')) trimmed.endpoint.pop_back();
  auto path = fetch(reference, trimmed, progress);
  if (!path.ok()) return annotate(path.status(), reference.text());
  return path;
}

absl::StatusOr<std::string> find_pulled(const HubReference& reference, const PullOptions& options) {
  const fs::path directory = directory_of(reference, options);
  const absl::Status absent =
      not_found("{} is not in {}: fetch it with brisk pull {}", reference.text(),
                directory.parent_path().string(), reference.text());
  std::string commit;
  std::ifstream(directory / "refs" / reference.revision) >> commit;
  if (commit.size() != 40 || commit.find_first_not_of("0123456789abcdef") != commit.npos) {
    return absent;
  }
  const fs::path snapshot = directory / "snapshots" / commit;
  std::error_code error;
  std::vector<std::string> paths;
  for (fs::recursive_directory_iterator it(snapshot, error), end; !error && it != end;
       it.increment(error)) {
    if (fs::is_regular_file(it->path(), error)) {
      paths.push_back(it->path().lexically_relative(snapshot).string());
    }
  }
  std::ranges::sort(paths);
  const bool is_checkpoint = std::ranges::find(paths, "config.json") != paths.end();
  if (reference.file.empty() && is_checkpoint) return snapshot.string();
  const std::string chosen = choose_gguf(paths, reference.file);
  if (chosen.empty()) return absent;
  const std::optional<SplitName> split = parse_split_name(chosen);
  return (snapshot / (split.has_value() ? split->of_part(1) : chosen)).string();
}

}  // namespace brisk
