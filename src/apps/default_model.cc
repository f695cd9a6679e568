#include "apps/default_model.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/status.h"

namespace brisk {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "brisk-small";

// Where models that ship with brisk may lie.
std::vector<fs::path> places() {
  std::vector<fs::path> found;
  std::error_code unknown;  // without /proc
  const fs::path here = fs::read_symlink("/proc/self/exe", unknown).parent_path();
  if (!unknown) {
    found = {here / "models", here / "../share/brisk/models",
             here / "../../models"};  // build/release/brisk
  }
  found.insert(found.end(), {"/usr/local/share/brisk/models", "/usr/share/brisk/models"});
  return found;
}

}  // namespace

absl::StatusOr<std::string> default_model() {
  if (const char* named = std::getenv("BRISK_MODEL"); named != nullptr && *named != '\0') {
    return named;
  }
  std::string looked;
  for (const fs::path& place : places()) {
    std::error_code missing;
    const fs::path path = (place / kName).lexically_normal();
    if (fs::exists(path, missing)) return path.string();
    looked += (looked.empty() ? "" : ", ") + path.string();
  }
  return absl::NotFoundError(
      fmt::format("no model was named, and {} is not there (looked for {}): name a .gguf or a "
                  "Hugging Face directory, or set BRISK_MODEL",
                  kName, looked));
}

absl::StatusOr<std::string> model_or_default(const std::string& model) {
  return model.empty() ? default_model() : model;
}

}  // namespace brisk
