// The quality report that a checkpoint carries: JSON that its maker wrote about it
// (compress/report/quality_json.h).
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>

#include "model/checkpoint/checkpoint.h"

namespace brisk {

// Where it is: a string of a GGUF file's header, or of the "__metadata__" of a safetensors file.
inline constexpr const char* kQualityReportKey = "brisk.report";

// The report's text, as it was written; empty when there is none. A view into `checkpoint`.
std::string_view quality_report_of(const Checkpoint& checkpoint);

// Takes it out of a checkpoint whose weights are about to be others.
void drop_quality_report(Checkpoint& checkpoint);

// Makes `report` what the checkpoint at `path` says of itself, in place of an earlier one; all else
// stays. A GGUF file, a safetensors file, or a Hugging Face directory, whose first file of weights
// then has it. The file is written anew and renamed, so that readers see the old or the new one.
// Errors: InvalidArgument for other files, Unimplemented for a GGUF model in parts, and those of
// reading and writing them.
absl::Status attach_quality_report(const std::string& path, std::string_view report);

}  // namespace brisk
