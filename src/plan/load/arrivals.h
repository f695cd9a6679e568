// When the requests of an open loop arrive, from a seed.
#pragma once

#include <cstdint>
#include <vector>

namespace brisk {

struct ArrivalOptions {
  double rate = 1;        // requests/s; > 0
  double burstiness = 1;  // shape of the gamma distribution of gaps: 1 is Poisson, below comes in
                          // bursts, far above is even; > 0
  int64_t count = 0;
  uint64_t seed = 0;
};

// Seconds from the start of the run, ascending. The gaps are gamma distributed with shape
// `burstiness` and mean 1 / rate, as in `vllm bench serve`.
std::vector<double> draw_arrivals(const ArrivalOptions& options);

}  // namespace brisk
