// One file of a repository on its way into the cache.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <string>

#include "hub/listing.h"
#include "hub/pull.h"

namespace brisk {

// Leaves `file` at `path`, whole and checked; `path`.incomplete holds what has come meanwhile.
// Errors: see pull().
absl::Status fetch_blob(const std::string& url, const HubFile& file, const std::string& path,
                        const PullOptions& options, const std::function<void(int64_t)>& progress);

}  // namespace brisk
