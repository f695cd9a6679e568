#include "compress/calibrate/edit_layers.h"

#include "base/status.h"

namespace brisk {

absl::Status edit_layers(const LayerEdits& job) {
  for (size_t layer = 0; layer < job.layers; ++layer) {
    if (layer >= job.first) {
      job.collector->clear();
      if (job.stream != nullptr) job.stream->look(*job.collector);
      BRISK_RETURN_IF_ERROR(job.edit(layer));
    }
    if (job.stream != nullptr) job.stream->advance();
    if (job.on_progress) {
      job.on_progress(static_cast<int64_t>(layer) + 1, static_cast<int64_t>(job.layers));
    }
  }
  return absl::OkStatus();
}

}  // namespace brisk
