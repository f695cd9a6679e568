// The items of OpenAI's responses (messages, calls of functions and their outputs) as the messages
// that templates know.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "base/json.h"

namespace brisk::api {

inline constexpr size_t kItemsMax = 4096;

// `items`: an array. `instructions` come first, unless empty. Errors: InvalidArgument with the
// field at fault, "input[i]...".
absl::StatusOr<OrderedJson> chat_of_items(const OrderedJson& items,
                                          const std::string& instructions);

// Gives an id to each that has none. REQUIRES: chat_of_items has read them.
void name_items(OrderedJson& items);

// As OpenAI's lists show one: a message's content is an array of parts.
OrderedJson shown_item(OrderedJson item);

}  // namespace brisk::api
