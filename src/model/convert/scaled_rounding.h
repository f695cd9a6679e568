// Which matrices of a conversion become codes with scales of their own, and those codes.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "compute/quant/scaled_scheme.h"
#include "compute/sys/thread_team.h"
#include "model/convert/tensors.h"

namespace brisk {

// A scheme over some of a model's matrices: the projections whose inputs are whole groups. The
// embedding, the head, routers and the rest stay as they are.
struct ScaledRounding {
  ScaledScheme scheme;
  std::vector<bool> rounds;          // a tensor of the conversion
  std::vector<std::string> ignored;  // modules that stay, as quantization_config_of takes them
};

// Errors: InvalidArgument when the scheme fits no matrix; Unimplemented for models whose
// projections are no linear modules (gpt2, bitnet).
absl::StatusOr<ScaledRounding> plan_scaled_rounding(const Conversion& conversion,
                                                    const ScaledScheme& scheme,
                                                    const std::vector<ConvertedTensor>& tensors);

// A matrix rounded to nearest, by all members of the team; one that is in the scheme already keeps
// its codes. REQUIRES: the tensor's plan_scaled_rounding rounds it.
absl::StatusOr<ScaledCodes> round_tensor(const ScaledScheme& scheme, const ConvertedTensor& tensor,
                                         ThreadTeam& team);

}  // namespace brisk
