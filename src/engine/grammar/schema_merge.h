// One schema that demands what two demand.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "base/json.h"

namespace brisk {

// Keywords that demand nothing of a value.
bool is_annotation(std::string_view keyword);

// Errors: InvalidArgument when no one schema can say it; `where` is the place for the message.
absl::StatusOr<OrderedJson> merge_schemas(OrderedJson a, const OrderedJson& b,
                                          const std::string& where);

}  // namespace brisk
