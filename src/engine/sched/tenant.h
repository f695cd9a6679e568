// Whom requests belong to.
#pragma once

#include <cstdint>

namespace brisk {

// Tenants share the engine in proportion to their weights.
struct Tenant {
  int32_t id = 0;
  int32_t weight = 1;  // 1 to kTenantWeightMax
};

inline constexpr int32_t kTenantWeightMax = 1 << 16;

}  // namespace brisk
