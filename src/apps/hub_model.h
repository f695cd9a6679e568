// Models that are named as a hub names them, for commands that open models.
#pragma once

#include <absl/status/statusor.h>

#include <string>

namespace brisk {

// `model` as a path. Where it is a path, it stays one; where it can only be meant for a hub
// (ORG/NAME[:FILE]) it is taken from the cache, or fetched with a line on stderr, unless `offline`
// or HF_HUB_OFFLINE says not to. Errors: those of pull().
absl::StatusOr<std::string> path_of_model(const std::string& model, bool offline);

}  // namespace brisk
