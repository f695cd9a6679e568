// The methods of texts, dicts and lists that templates may call: Python's, without those that
// change their object.
#pragma once

#include <string_view>

#include "model/template/value.h"

namespace brisk::jinja {

// Null when values of this kind have no such method.
const Native* find_method(const Value& object, std::string_view name);

// True for Python's `append`, `pop`, `update` and the like, which the sandbox withholds.
bool is_mutating_method(const Value& object, std::string_view name);

}  // namespace brisk::jinja
