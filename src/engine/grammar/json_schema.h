// JSON Schema as a grammar of JSON texts. Every text of the grammar is valid against the schema;
// not every valid one is a text of it:
// - Properties come in the order of the schema, and others only where additionalProperties says so
//   (or where there is no `properties`): an absent additionalProperties counts as false. Likewise
//   no items come after prefixItems unless `items` says which.
// - A schema without `type` whose keywords are about objects, arrays, strings or numbers is one of
//   that type.
// - The layout and the numbers are those of json_text.h.
// Supported: type (one or several), nullable, enum, const, anyOf, oneOf (as anyOf), allOf and
// keywords beside anyOf or $ref where they can be merged, $ref to any place of the same document,
// $defs, definitions; properties, required, additionalProperties; items, prefixItems, minItems,
// maxItems; minLength, maxLength, pattern, format (date, time, date-time, duration, email,
// hostname, uuid, ipv4, ipv6, uri); minimum, maximum, exclusiveMinimum, exclusiveMaximum. Titles,
// descriptions and the like mean nothing; every other keyword is an error.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "engine/grammar/grammar.h"
#include "engine/grammar/json_text.h"

namespace brisk {

inline constexpr size_t kSchemaBytesMax = 262'144;

// Errors: InvalidArgument, with the place in the schema and its keyword.
absl::StatusOr<Grammar> json_schema_grammar(std::string_view schema);

enum class SchemaStyle : uint8_t {
  kJson,
  kKeywords,  // the members of an object as a call writes them in Python: a=1, b="x"
};

// The same as a rule of `grammar`, whose first rule it is or which has one; `text` belongs to it.
absl::StatusOr<RuleId> add_schema(std::string_view schema, SchemaStyle style, JsonText* text,
                                  Grammar* grammar);

// Any JSON object.
Grammar json_object_grammar();

}  // namespace brisk
