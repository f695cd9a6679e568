// Names of models on a Hugging Face-style hub: "ORG/NAME", "ORG/NAME:FILE", "ORG/NAME:Q4_K_M".
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace brisk {

struct HubReference {
  std::string repo;               // "ORG/NAME"
  std::string file = {};          // which: a path in the repository, or a quantisation; empty: best
  std::string revision = "main";  // a branch, a tag or a commit

  std::string text() const { return file.empty() ? repo : repo + ":" + file; }
};

// Errors: InvalidArgument for what cannot be a name, or would lead out of a directory.
absl::StatusOr<HubReference> parse_hub_reference(std::string_view text);

// Whether `text`, which people may also mean as a path, can only be meant for a hub: it is written
// like a reference, and neither it nor its first part is here.
bool means_hub(const std::string& text);

// Whether a repository's file may be put below a directory under its own name: no empty, "." or
// ".." segments, not absolute, of a sane length.
bool is_safe_path(std::string_view path);

}  // namespace brisk
