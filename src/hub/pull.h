// Models from a Hugging Face-style hub, in the cache that other programs share:
//
//   models--ORG--NAME/refs/main                  the commit
//   models--ORG--NAME/snapshots/COMMIT/FILE      -> ../../blobs/ETAG
//   models--ORG--NAME/blobs/ETAG                 ETAG: SHA-256, or git's SHA-1 of small files
//   models--ORG--NAME/blobs/ETAG.incomplete      what has come so far
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <string>

#include "hub/fetch.h"
#include "hub/reference.h"

namespace brisk {

struct PullOptions {
  std::string endpoint = "https://huggingface.co";
  std::string cache = {};  // the directory "hub"; empty: hub_cache_directory()
  FetchOptions fetch = {};
  bool offline = false;      // only what is in the cache
  int attempts_max = 5;      // without a byte of progress
  double retry_seconds = 1;  // before the second attempt; doubled for each further one
};

// HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE, where they are set.
PullOptions pull_options_from_environment();

// HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub.
std::string hub_cache_directory();

// Told now and then how much of a file is here.
using PullProgress = std::function<void(const std::string& path, int64_t bytes, int64_t total)>;

// Fetches what is not in the cache yet, checked by its hash, and gives the path to open: a file, or
// the directory of a checkpoint. A transfer that was cut off is resumed, by this call or the next.
// Errors: NotFound, PermissionDenied, ResourceExhausted (disk), Unavailable (network),
// InvalidArgument (names; a file that is not what the hub says).
absl::StatusOr<std::string> pull(const HubReference& reference, const PullOptions& options,
                                 const PullProgress& progress = nullptr);

// The same from the cache alone. Errors: NotFound.
absl::StatusOr<std::string> find_pulled(const HubReference& reference, const PullOptions& options);

}  // namespace brisk
