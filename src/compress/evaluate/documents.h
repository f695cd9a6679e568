// Texts that models are measured on.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

namespace brisk {

// The documents of a file: the "text" (or "story", "content") of every line of a .jsonl, else the
// whole file as one. Errors: as MappedFile::open; InvalidArgument naming the line.
absl::StatusOr<std::vector<std::string>> read_documents(const std::string& path);

}  // namespace brisk
