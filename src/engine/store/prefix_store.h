// KV blocks on disk, so that prompts computed once are not computed again after a restart.
//
// A block is a file of its own, named by a hash of all tokens up to its end, and holds those
// tokens: like a hit in memory, one on disk is compared token by token. Files are written whole
// under another name and then renamed; a checksum finds those that were damaged since. Only this
// user can read them. When they exceed the limit, those that were not used for longest are removed.
//
// Layout, little-endian: "briskkv1", u64 fingerprint, u32 tokens of a block, u32 tokens n, u64
// bytes of the block b, n * i32 tokens, b bytes, u64 XXH3 of all before.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace brisk {

struct PrefixStoreOptions {
  std::string directory;  // made when it is not there
  int64_t bytes_max = int64_t{10} << 30;
  // Stands for everything that a block's bytes depend on beside its tokens: model, numerics,
  // format.
  uint64_t fingerprint = 0;
  int64_t block_bytes = 0;
  int32_t block_tokens = 16;
};

// Any thread may call anything.
class PrefixStore {
 public:
  // Errors: the directory cannot be made or read.
  static absl::StatusOr<std::unique_ptr<PrefixStore>> open(const PrefixStoreOptions& options);

  // How many whole blocks of `tokens`, from `first_block` on, are there without a gap. Reads
  // nothing.
  int64_t blocks_of(std::span<const int32_t> tokens, int64_t first_block) const;

  // The block that ends `prefix`, whole blocks, into `bytes` (block_bytes).
  // Errors: NotFound; DataLoss, and the file is removed.
  absl::Status read(std::span<const int32_t> prefix, std::span<std::byte> bytes);

  // Keeps the block that ends `prefix`; nothing happens when it is there. Errors: the disk's.
  absl::Status write(std::span<const int32_t> prefix, std::span<const std::byte> bytes);

  int64_t bytes() const;  // of all files
  int64_t bytes_max() const { return options_.bytes_max; }

 private:
  struct File {
    int64_t bytes = 0;
    int64_t used = 0;  // when, in calls
  };
  using Name = std::array<uint64_t, 2>;

  explicit PrefixStore(const PrefixStoreOptions& options) : options_(options) {}
  absl::Status scan();
  Name name_of(std::span<const int32_t> prefix) const;
  std::string path_of(const Name& name) const;
  int64_t file_bytes(size_t tokens) const;
  absl::Status check(std::span<const std::byte> file, std::span<const int32_t> prefix) const;
  void make_room(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void forget(const Name& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PrefixStoreOptions options_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Name, File> files_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace brisk
