// An edit that goes on where an earlier run of it was killed.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "compress/calibrate/windows.h"
#include "compress/edit/checkpoint_edit.h"
#include "compress/edit/edit_journal.h"
#include "model/checkpoint/checkpoint.h"

namespace brisk {

struct ResumedEdit {
  std::unique_ptr<EditJournal> journal;          // null: nothing is kept
  std::unique_ptr<CheckpointEdit> done;          // by the steps there were
  std::shared_ptr<const Checkpoint> checkpoint;  // the source as those left it
  std::vector<Json> steps = {};                  // their details, in order
};

// `directory`: see EditJournal; empty: there is none. `key`: see edit_key. Errors: Unavailable; and
// InvalidArgument where the steps make no sense.
absl::StatusOr<ResumedEdit> resume_edit(std::shared_ptr<const Checkpoint> source,
                                        const std::string& directory, const std::string& key);

// Names what an edit depends on: the files of the source, all of whose bytes are read, what it says
// of itself, `options`, and the calibration's tokens.
std::string edit_key(const Checkpoint& source, const Json& options, const TokenWindows& windows);

}  // namespace brisk
