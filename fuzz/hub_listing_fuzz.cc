// What a hub says: whatever the bytes, the files that are chosen of it have names that stay inside
// a directory, and something that vouches for their contents.
#include <cstdlib>
#include <string_view>

#include "hub/listing.h"
#include "hub/reference.h"

namespace {

void must(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto reference = brisk::parse_hub_reference(text); reference.ok()) {
    must(reference->repo.find("..") == std::string::npos);
    must(reference->file.empty() || brisk::is_safe_path(reference->file));
  }
  const auto listing = brisk::parse_listing(text);
  if (!listing.ok()) return 0;
  must(listing->commit.size() == 40);
  for (const brisk::HubFile& file : listing->files) {
    must(brisk::is_safe_path(file.path) && file.bytes >= 0);
    must(file.etag().size() == 40 || file.etag().size() == 64);
    must(file.etag().find_first_not_of("0123456789abcdef") == std::string::npos);
  }
  for (const char* wanted : {"", "Q4_K_M", "a.gguf"}) {
    const auto choice = brisk::choose_files(*listing, wanted);
    must(!choice.ok() || !choice->files.empty());
  }
  return 0;
}
