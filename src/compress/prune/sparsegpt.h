// SparseGPT (Frantar, Alistarh 2023, arXiv 2301.00774): weights are removed input by input, and the
// inputs that are still to come make up for what went, as GPTQ does for rounding.
#pragma once

#include "compress/prune/masks.h"
#include "compress/quantize/gptq.h"
#include "compute/sys/thread_team.h"

namespace brisk {

// Prunes (rows, depth) weights in place. Without groups the weights of 128 inputs at a time compete
// with each other across all rows, by w^2 / U_jj^2. The result does not depend on the team's size.
void sparsegpt(ThreadTeam& team, const InverseFactor& factor, const SparsityPattern& pattern,
               float* weights, int64_t rows);

}  // namespace brisk
