#include "engine/store/prefix_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'b', 'r', 'i', 's', 'k', 'k', 'v', '1'};
constexpr const char* kSuffix = ".kv";
constexpr size_t kNameDigits = 32;

struct Header {
  char magic[8];
  uint64_t fingerprint;
  uint32_t block_tokens;
  uint32_t tokens;
  uint64_t block_bytes;
};
static_assert(sizeof(Header) == 32);

std::array<uint64_t, 2> to_name(const XXH128_hash_t& hash) { return {hash.high64, hash.low64}; }

// Writes everything or says why not.
absl::Status write_all(int file, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return system_error("{}", std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrefixStore>> PrefixStore::open(const PrefixStoreOptions& options) {
  std::error_code error;
  fs::create_directories(options.directory, error);
  if (!fs::is_directory(options.directory, error)) {
    return system_error("{} is not a directory that KV can be stored in: {}", options.directory,
                        error.message());
  }
  std::unique_ptr<PrefixStore> store(new PrefixStore(options));
  BRISK_RETURN_IF_ERROR(store->scan());
  return store;
}

// Learns what is there, oldest first, and removes what was never finished.
absl::Status PrefixStore::scan() {
  struct Found {
    fs::file_time_type written;
    Name name;
    int64_t bytes;
  };
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator entry(options_.directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.ends_with(".part")) fs::remove(entry->path(), ignored);
    if (name.size() != kNameDigits + 3 || !name.ends_with(kSuffix)) continue;
    Found file{entry->last_write_time(ignored), {}, 0};
    if (std::sscanf(name.c_str(), "%16lx%16lx", &file.name[0], &file.name[1]) != 2) continue;
    file.bytes = static_cast<int64_t>(entry->file_size(ignored));
    if (!ignored) found.push_back(file);
  }
  if (error) return system_error("{}: {}", options_.directory, error.message());
  std::ranges::sort(found, {}, &Found::written);
  absl::MutexLock lock(&mutex_);
  for (const Found& file : found) {
    files_[file.name] = {.bytes = file.bytes, .used = ++calls_};
    bytes_ += file.bytes;
  }
  make_room(0);
  return absl::OkStatus();
}

PrefixStore::Name PrefixStore::name_of(std::span<const int32_t> prefix) const {
  return to_name(XXH3_128bits_withSeed(prefix.data(), prefix.size_bytes(), options_.fingerprint));
}

std::string PrefixStore::path_of(const Name& name) const {
  return fmt::format("{}/{:016x}{:016x}{}", options_.directory, name[0], name[1], kSuffix);
}

int64_t PrefixStore::file_bytes(size_t tokens) const {
  return static_cast<int64_t>(sizeof(Header) + tokens * sizeof(int32_t) + sizeof(uint64_t)) +
         options_.block_bytes;
}

int64_t PrefixStore::blocks_of(std::span<const int32_t> tokens, int64_t first_block) const {
  const auto block_tokens = static_cast<size_t>(options_.block_tokens);
  absl::MutexLock lock(&mutex_);
  if (files_.empty()) return 0;
  // One pass: the name of a longer prefix goes on from that of the shorter one.
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              &XXH3_freeState);
  XXH3_128bits_reset_withSeed(state.get(), options_.fingerprint);
  size_t hashed = 0;
  int64_t blocks = 0;
  for (size_t end = (static_cast<size_t>(first_block) + 1) * block_tokens; end <= tokens.size();
       end += block_tokens) {
    const auto more = tokens.subspan(hashed, end - hashed);
    XXH3_128bits_update(state.get(), more.data(), more.size_bytes());
    hashed = end;
    if (!files_.contains(to_name(XXH3_128bits_digest(state.get())))) break;
    ++blocks;
  }
  return blocks;
}

absl::Status PrefixStore::read(std::span<const int32_t> prefix, std::span<std::byte> bytes) {
  const Name name = name_of(prefix);
  {
    absl::MutexLock lock(&mutex_);
    const auto file = files_.find(name);
    if (file == files_.end()) return not_found("this prefix is not stored");
    file->second.used = ++calls_;
  }
  const std::string path = path_of(name);
  auto file = read_file(path, static_cast<size_t>(file_bytes(prefix.size())));
  absl::Status status = file.status();
  if (file.ok()) status = annotate(check(std::as_bytes(std::span(*file)), prefix), path);
  if (!status.ok()) {
    spdlog::warn("a stored prefix cannot be used: {}", message_of(status));
    absl::MutexLock lock(&mutex_);
    forget(name);
    return status;
  }
  const size_t begin = sizeof(Header) + prefix.size_bytes();
  std::memcpy(bytes.data(), file->data() + begin, bytes.size());
  // Its time tells the next start how lately it was used.
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return absl::OkStatus();
}

// Whether `file` is the block that ends `prefix`.
absl::Status PrefixStore::check(std::span<const std::byte> file,
                                std::span<const int32_t> prefix) const {
  if (std::ssize(file) != file_bytes(prefix.size())) {
    return absl::DataLossError("it has the wrong size");
  }
  uint64_t expected = 0;
  const auto content = file.first(file.size() - sizeof expected);
  std::memcpy(&expected, file.data() + content.size(), sizeof expected);
  if (XXH3_64bits(content.data(), content.size()) != expected) {
    return absl::DataLossError("its checksum is wrong");
  }
  Header header;
  std::memcpy(&header, file.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 ||
      header.fingerprint != options_.fingerprint || header.tokens != prefix.size() ||
      header.block_tokens != static_cast<uint32_t>(options_.block_tokens) ||
      header.block_bytes != static_cast<uint64_t>(options_.block_bytes)) {
    return absl::DataLossError("it is of another model or format");
  }
  if (std::memcmp(file.data() + sizeof header, prefix.data(), prefix.size_bytes()) != 0) {
    return absl::DataLossError("it is of other tokens");
  }
  return absl::OkStatus();
}

absl::Status PrefixStore::write(std::span<const int32_t> prefix, std::span<const std::byte> bytes) {
  const Name name = name_of(prefix);
  const int64_t size = file_bytes(prefix.size());
  {
    absl::MutexLock lock(&mutex_);
    if (files_.contains(name) || size > options_.bytes_max) return absl::OkStatus();
    make_room(size);
  }
  std::vector<std::byte> file(static_cast<size_t>(size));
  Header header{.magic = {},
                .fingerprint = options_.fingerprint,
                .block_tokens = static_cast<uint32_t>(options_.block_tokens),
                .tokens = static_cast<uint32_t>(prefix.size()),
                .block_bytes = static_cast<uint64_t>(options_.block_bytes)};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::memcpy(file.data(), &header, sizeof header);
  std::memcpy(file.data() + sizeof header, prefix.data(), prefix.size_bytes());
  std::memcpy(file.data() + sizeof header + prefix.size_bytes(), bytes.data(), bytes.size());
  const uint64_t checksum = XXH3_64bits(file.data(), file.size() - sizeof checksum);
  std::memcpy(file.data() + file.size() - sizeof checksum, &checksum, sizeof checksum);

  const std::string path = path_of(name);
  const std::string part = fmt::format("{}.{}.part", path, ::getpid());
  const int descriptor = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return system_error("{}: {}", part, std::strerror(errno));
  absl::Status status = write_all(descriptor, file);
  ::close(descriptor);
  if (status.ok() && std::rename(part.c_str(), path.c_str()) != 0) {
    status = system_error("{}", std::strerror(errno));
  }
  if (!status.ok()) {
    ::unlink(part.c_str());
    return annotate(status, part);
  }
  absl::MutexLock lock(&mutex_);
  if (files_.try_emplace(name, File{.bytes = size, .used = ++calls_}).second) bytes_ += size;
  return absl::OkStatus();
}

// Removes what was not used for longest until `bytes` more fit. A tenth more than that, so that not
// every block pays for a search.
void PrefixStore::make_room(int64_t bytes) {
  if (bytes_ + bytes <= options_.bytes_max) return;
  std::vector<std::pair<int64_t, Name>> oldest;
  oldest.reserve(files_.size());
  for (const auto& [name, file] : files_) oldest.emplace_back(file.used, name);
  std::ranges::sort(oldest);
  const int64_t target = options_.bytes_max - options_.bytes_max / 10;
  for (const auto& [used, name] : oldest) {
    if (bytes_ + bytes <= target) return;
    forget(name);
  }
}

void PrefixStore::forget(const Name& name) {
  const auto file = files_.find(name);
  if (file == files_.end()) return;
  bytes_ -= file->second.bytes;
  files_.erase(file);
  ::unlink(path_of(name).c_str());
}

int64_t PrefixStore::bytes() const {
  absl::MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace brisk
