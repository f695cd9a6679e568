#include "compress/evaluate/documents.h"

#include <string_view>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk {
namespace {

constexpr size_t kFileBytesMax = size_t{4} << 30;

absl::StatusOr<std::string> document_of_line(std::string_view line) {
  BRISK_ASSIGN_OR_RETURN(const Json json, parse_json(line));
  for (const char* key : {"text", "story", "content"}) {
    if (json.is_object() && json.contains(key) && json[key].is_string()) {
      return json[key].get<std::string>();
    }
  }
  return invalid_input("expected an object with a string \"text\", \"story\" or \"content\"");
}

}  // namespace

absl::StatusOr<std::vector<std::string>> read_documents(const std::string& path) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const std::string_view text = file.text();
  if (text.size() > kFileBytesMax) return exhausted("{}: larger than 4 GiB", path);
  if (!path.ends_with(".jsonl")) return std::vector<std::string>{std::string(text)};
  std::vector<std::string> documents;
  const absl::Status read = for_each_line(text, [&](std::string_view line) -> absl::Status {
    BRISK_ASSIGN_OR_RETURN(documents.emplace_back(), document_of_line(line));
    return absl::OkStatus();
  });
  if (!read.ok()) return annotate(read, path);
  if (documents.empty()) return invalid_input("{}: there is no document", path);
  return documents;
}

}  // namespace brisk
