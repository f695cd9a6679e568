// The filters (`value|name(...)`) and tests (`value is name(...)`) of Jinja that chat templates
// use. A test answers with a boolean.
#pragma once

#include <span>
#include <string_view>

#include "model/template/value.h"

namespace brisk::jinja {

// Null when there is none of that name.
const Native* find_filter(std::string_view name);
const Native* find_test(std::string_view name);

// The tables behind find_filter, by what they work on.
std::span<const Native> text_filters();
std::span<const Native> sequence_filters();
std::span<const Native> scalar_filters();

}  // namespace brisk::jinja
