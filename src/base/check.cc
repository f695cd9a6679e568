#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace brisk {

void check_failed(const char* fact, const char* file, int line) {
  std::fprintf(stderr, "brisk: internal error: %s does not hold (%s:%d); please report this\n",
               fact, file, line);
  std::abort();
}

}  // namespace brisk
