#include "compress/edit/resumed_edit.h"

#include <xxhash.h>

#include <utility>

#include "base/status.h"
#include "compute/sys/memory.h"

namespace brisk {

absl::StatusOr<ResumedEdit> resume_edit(std::shared_ptr<const Checkpoint> source,
                                        const std::string& directory, const std::string& key) {
  ResumedEdit resumed;
  resumed.checkpoint = source;
  if (directory.empty()) return resumed;
  BRISK_ASSIGN_OR_RETURN(resumed.journal, EditJournal::open(directory, key));
  if (resumed.journal->steps().empty()) return resumed;
  resumed.done = std::make_unique<CheckpointEdit>(source, resumed.journal.get());
  for (const Json& step : resumed.journal->steps()) {
    auto details = resumed.done->restore(step);
    if (!details.ok()) {
      return annotate(details.status(), directory + " (remove it to begin again)");
    }
    resumed.steps.push_back(*std::move(details));
  }
  resumed.checkpoint = std::make_shared<const Checkpoint>(resumed.done->edited());
  return resumed;
}

std::string edit_key(const Checkpoint& source, const Json& options, const TokenWindows& windows) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       XXH3_freeState);
  XXH3_128bits_reset(state.get());
  const auto add = [&](const void* data, size_t bytes) {
    XXH3_128bits_update(state.get(), data, bytes);
  };
  for (const MappedFile& file : source.files) {
    constexpr size_t kPiece = size_t{64} << 20;
    for (auto left = file.bytes(); !left.empty();) {
      const auto piece = left.first(std::min(kPiece, left.size()));
      add(piece.data(), piece.size());
      drop_mapped_pages(piece);
      left = left.subspan(piece.size());
    }
  }
  const std::string text = to_text(source.metadata) + to_text(options);
  add(text.data(), text.size());
  for (const auto& window : windows) {
    const uint64_t size = window.size();
    add(&size, sizeof size);
    add(window.data(), window.size() * sizeof(int32_t));
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace brisk
