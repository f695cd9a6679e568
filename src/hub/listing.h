// What a hub says of a repository, and which of its files make a model.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace brisk {

struct HubFile {
  std::string path;  // in the repository; safe (reference.h)
  int64_t bytes = 0;
  std::string sha256;    // hexadecimal; of large files
  std::string git_sha1;  // of git's blob, where there is no sha256

  // The name of its blob in the cache, as other programs know it.
  const std::string& etag() const { return sha256.empty() ? git_sha1 : sha256; }
};

struct HubListing {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;
};

inline constexpr size_t kListingBytesMax = size_t{32} << 20;

// The answer of /api/models/ORG/NAME/revision/REVISION?blobs=true. Files whose names are not safe,
// or that nothing vouches for, are left out. Errors: InvalidArgument.
absl::StatusOr<HubListing> parse_listing(std::string_view json);

// Which files to fetch, and the one to open among them; empty: the directory they are in.
struct HubChoice {
  std::vector<HubFile> files;
  std::string open;
};

// `wanted`: a path, or a quantisation ("Q4_K_M"); empty: the safetensors checkpoint where there is
// one, else the GGUF that brisk prefers. Errors: NotFound, with what there is.
absl::StatusOr<HubChoice> choose_files(const HubListing& listing, const std::string& wanted);

// Of GGUF files' paths, the one that `wanted` means; empty: none does.
std::string choose_gguf(const std::vector<std::string>& paths, const std::string& wanted);

}  // namespace brisk
