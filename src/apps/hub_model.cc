#include "apps/hub_model.h"

#include <memory>

#include "apps/progress.h"
#include "base/log.h"
#include "base/status.h"
#include "hub/pull.h"

namespace brisk {

absl::StatusOr<std::string> path_of_model(const std::string& model, bool offline) {
  if (!means_hub(model)) return model;
  BRISK_ASSIGN_OR_RETURN(const HubReference reference, parse_hub_reference(model));
  PullOptions options = pull_options_from_environment();
  options.offline |= offline;
  absl::StatusOr<std::string> found = find_pulled(reference, options);
  if (found.ok()) return found;
  if (options.offline) {
    return not_found("{}, which --offline (or HF_HUB_OFFLINE) forbids here",
                     message_of(found.status()));
  }
  spdlog::warn("{} is not here: fetching it from {}", model, options.endpoint);
  Progress progress("fetching " + model);
  return pull(reference, options, [&](const std::string&, int64_t bytes, int64_t total) {
    progress.show(static_cast<uint64_t>(bytes), static_cast<uint64_t>(total));
  });
}

}  // namespace brisk
