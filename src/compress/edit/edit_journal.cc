#include "compress/edit/edit_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "base/check.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/mapped_file.h"
#include "compute/sys/memory.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPage = 4096;
constexpr size_t kLogBytesMax = size_t{256} << 20;
constexpr size_t kHashChars = 16;

std::string hash_of(std::string_view text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

absl::Status failed(const char* what) {
  return system_error("the unfinished work cannot be {}: {}", what, std::strerror(errno));
}

absl::Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("written");
    text.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// The JSON of a line; null: it is torn.
Json parse_line(std::string_view line) {
  if (line.size() < kHashChars + 1 || line[kHashChars] != ' ') return nullptr;
  const std::string_view text = line.substr(kHashChars + 1);
  if (hash_of(text) != line.substr(0, kHashChars)) return nullptr;
  absl::StatusOr<Json> json = parse_json(text, {.bytes_max = kLogBytesMax});
  return json.ok() && json->is_object() ? *std::move(json) : Json(nullptr);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EditJournal>> EditJournal::open(const std::string& directory,
                                                               const std::string& key) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return system_error("{}: cannot create: {}", directory, error.message());
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (entry.path().filename() == "data" || entry.path().filename() == "steps") continue;
    return invalid_input("{} has files that are not of unfinished work; move it away", directory);
  }
  const std::string log_path = directory + "/steps";
  std::string log;
  if (auto read = read_file(log_path, kLogBytesMax); read.ok()) log = *std::move(read);
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC;
  const int data = ::open((directory + "/data").c_str(), flags, 0644);
  const int steps = ::open(log_path.c_str(), flags, 0644);
  std::unique_ptr<EditJournal> journal(new EditJournal(data, steps));
  if (data < 0 || steps < 0) {
    return system_error("{}: cannot write: {}", directory, std::strerror(errno));
  }
  if (::flock(data, LOCK_EX | LOCK_NB) != 0) {
    return system_error("{}: another process is at work on it", directory);
  }
  BRISK_RETURN_IF_ERROR(annotate(journal->recover(key, log), directory));
  return journal;
}

void EditJournal::remove(const std::string& directory) {
  std::error_code ignored;
  for (const char* name : {"/data", "/steps", ""}) fs::remove(directory + name, ignored);
}

EditJournal::~EditJournal() {
  for (const Region& region : regions_) ::munmap(region.bytes.data(), region.bytes.size());
  if (data_ >= 0) ::close(data_);
  if (log_ >= 0) ::close(log_);
}

absl::Status EditJournal::recover(const std::string& key, std::string_view log) {
  const int64_t size = ::lseek(data_, 0, SEEK_END);
  size_t good = 0;
  for (size_t at = 0; at < log.size();) {
    const size_t newline = log.find('\n', at);
    if (newline == std::string_view::npos) break;
    const Json line = parse_line(log.substr(at, newline - at));
    at = newline + 1;
    if (good == 0) {
      if (!line.is_object() || !line.contains("key") || line["key"] != key) break;
    } else {
      const bool whole = line.is_object() && line.contains("step") && line.contains("end") &&
                         line["end"].is_number_integer();
      const int64_t end = whole ? line["end"].get<int64_t>() : -1;
      if (end < end_ || end > size || end % kPage != 0) break;
      const int64_t begin = end_;
      if (end > begin) BRISK_RETURN_IF_ERROR(map(begin, static_cast<size_t>(end - begin)));
      const auto bytes = end > begin ? regions_.back().bytes : std::span<std::byte>();
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      const bool holds = line.contains("hash") && line["hash"] == hash_of(text);
      drop_mapped_pages(bytes);
      if (!holds) break;
      committed_ = end_ = end;
      steps_.push_back(line["step"]);
    }
    good = at;
  }
  if (::ftruncate(data_, committed_) != 0 || ::ftruncate(log_, static_cast<off_t>(good)) != 0 ||
      ::lseek(log_, 0, SEEK_END) < 0) {
    return failed("cut");
  }
  end_ = committed_;
  return good == 0 ? append_line({{"key", key}}) : absl::OkStatus();
}

absl::Status EditJournal::map(int64_t offset, size_t bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, data_, offset);
  if (memory == MAP_FAILED) return failed("mapped");
  regions_.push_back({offset, {static_cast<std::byte*>(memory), bytes}});
  return absl::OkStatus();
}

std::span<std::byte> EditJournal::allocate(size_t bytes) {
  const int64_t size = round_up(std::max<int64_t>(static_cast<int64_t>(bytes), 1), kPage);
  // Reserved, so that a full disk is an error here and not a signal where it is written to.
  if (const int error = ::posix_fallocate(data_, end_, size); error != 0) {
    errno = error;
    failed_.Update(failed("made larger"));
    return {};
  }
  if (absl::Status status = map(end_, static_cast<size_t>(size)); !status.ok()) {
    failed_.Update(status);
    return {};
  }
  end_ += size;
  return regions_.back().bytes.first(bytes);
}

int64_t EditJournal::offset_of(const std::byte* at) const {
  for (const Region& region : regions_) {
    const std::byte* begin = region.bytes.data();
    if (at >= begin && at < begin + region.bytes.size()) return region.offset + (at - begin);
  }
  BRISK_CHECK(false);
}

absl::StatusOr<std::span<std::byte>> EditJournal::at(int64_t offset, size_t bytes) const {
  for (const Region& region : regions_) {
    const int64_t begin = offset - region.offset;
    if (begin < 0 || begin > std::ssize(region.bytes)) continue;
    if (bytes > region.bytes.size() - static_cast<size_t>(begin)) continue;
    return region.bytes.subspan(static_cast<size_t>(begin), bytes);
  }
  return invalid_input("the unfinished work has no {} bytes at {}", bytes, offset);
}

absl::Status EditJournal::append_line(const Json& line) {
  const std::string text = to_text(line);
  BRISK_RETURN_IF_ERROR(write_all(log_, hash_of(text) + " " + text + "\n"));
  return ::fsync(log_) == 0 ? absl::OkStatus() : failed("written");
}

absl::Status EditJournal::commit(const Json& step) {
  BRISK_RETURN_IF_ERROR(failed_);
  XXH3_state_t* const state = XXH3_createState();
  XXH3_64bits_reset(state);
  bool written = true;
  for (const Region& region : regions_) {
    if (region.offset < committed_) continue;
    XXH3_64bits_update(state, region.bytes.data(), region.bytes.size());
    written &= ::msync(region.bytes.data(), region.bytes.size(), MS_SYNC) == 0;
  }
  const std::string hash = fmt::format("{:016x}", XXH3_64bits_digest(state));
  XXH3_freeState(state);
  if (!written || ::fsync(data_) != 0) return failed("written");
  committed_ = end_;
  return append_line({{"step", step}, {"end", end_}, {"hash", hash}});
}

void EditJournal::release() {
  for (const Region& region : regions_) drop_mapped_pages(region.bytes);
}

}  // namespace brisk
