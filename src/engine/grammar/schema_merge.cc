#include "engine/grammar/schema_merge.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/status.h"

namespace brisk {
namespace {

constexpr size_t kBranchesMax = 256;

bool allows_type(const OrderedJson& types, const std::string& type) {
  const auto is = [&](const OrderedJson& one) {
    return one == type || (type == "integer" && one == "number");
  };
  return types.is_array() ? std::ranges::any_of(types, is) : is(types);
}

OrderedJson listed(const OrderedJson& one_or_more) {
  return one_or_more.is_array() ? one_or_more : OrderedJson::array({one_or_more});
}

OrderedJson common_types(const OrderedJson& a, const OrderedJson& b) {
  OrderedJson common = OrderedJson::array();
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    for (const OrderedJson& type : listed(from)) {
      const bool is_common = type.is_string() && allows_type(to, type.get<std::string>());
      if (is_common && std::ranges::find(common, type) == common.end()) common.push_back(type);
    }
  }
  return common;
}

OrderedJson common_values(const OrderedJson& a, const OrderedJson& b) {
  OrderedJson common = OrderedJson::array();
  for (const OrderedJson& value : a) {
    if (std::ranges::find(b, value) != b.end()) common.push_back(value);
  }
  return common;
}

OrderedJson union_of(OrderedJson a, const OrderedJson& b) {
  for (const OrderedJson& value : b) {
    if (std::ranges::find(a, value) == a.end()) a.push_back(value);
  }
  return a;
}

// A schema of both; they are looked into when it is compiled.
OrderedJson both_of(const OrderedJson& a, const OrderedJson& b) {
  if (a == b || b == OrderedJson(true)) return a;
  if (a == OrderedJson(true)) return b;
  return {{"allOf", OrderedJson::array({a, b})}};
}

bool has(const OrderedJson& schema, const char* keyword) { return schema.contains(keyword); }

// What `schema` says of a property that it does not name; true: nothing.
OrderedJson additional_of(const OrderedJson& schema) {
  return has(schema, "additionalProperties") ? schema["additionalProperties"] : OrderedJson(true);
}

void merge_properties(OrderedJson* a, const OrderedJson& b) {
  if (!has(*a, "properties") && !has(b, "properties")) return;
  OrderedJson merged = OrderedJson::object();
  const OrderedJson none = OrderedJson::object();
  const OrderedJson in_a = has(*a, "properties") ? (*a)["properties"] : none;
  const OrderedJson in_b = has(b, "properties") ? b["properties"] : none;
  for (const auto& [name, schema] : in_a.items()) {
    merged[name] = both_of(schema, in_b.contains(name) ? in_b[name] : additional_of(b));
  }
  for (const auto& [name, schema] : in_b.items()) {
    if (!in_a.contains(name)) merged[name] = both_of(additional_of(*a), schema);
  }
  (*a)["properties"] = std::move(merged);
}

bool is_one_of(std::string_view keyword, std::initializer_list<std::string_view> list) {
  return std::ranges::find(list, keyword) != list.end();
}

absl::StatusOr<OrderedJson> combined_branches(const OrderedJson& a, const OrderedJson& b,
                                              const std::string& where) {
  if (a.size() * b.size() > kBranchesMax) {
    return invalid_input("{}: the combinations of anyOf are more than {}", where, kBranchesMax);
  }
  OrderedJson combined = OrderedJson::array();
  for (const OrderedJson& one : a) {
    for (const OrderedJson& other : b) combined.push_back(both_of(one, other));
  }
  return combined;
}

// A keyword that both have.
absl::StatusOr<OrderedJson> merge_keyword(const std::string& keyword, const OrderedJson& a,
                                          const OrderedJson& b, const std::string& where) {
  if (a == b || is_annotation(keyword)) return a;
  const bool are_numbers = a.is_number() && b.is_number();
  if (is_one_of(keyword, {"minimum", "exclusiveMinimum", "minLength", "minItems"}) && are_numbers) {
    return a.get<double>() > b.get<double>() ? a : b;
  }
  if (is_one_of(keyword, {"maximum", "exclusiveMaximum", "maxLength", "maxItems"}) && are_numbers) {
    return a.get<double>() < b.get<double>() ? a : b;
  }
  const bool are_arrays = a.is_array() && b.is_array();
  if (keyword == "type") return common_types(a, b);
  if (keyword == "enum" && are_arrays) return common_values(a, b);
  if (keyword == "required" && are_arrays) return union_of(a, b);
  if (keyword == "items" || keyword == "additionalProperties") {
    if (a == OrderedJson(false) || b == OrderedJson(false)) return OrderedJson(false);
    return both_of(a, b);
  }
  if (keyword == "nullable") return OrderedJson(false);
  if (keyword == "anyOf" && are_arrays) return combined_branches(a, b, where);
  if (keyword == "allOf" && are_arrays) return union_of(a, b);
  return invalid_input("{}: two different values of '{}' cannot be merged", where, keyword);
}

// oneOf counts as anyOf.
absl::StatusOr<OrderedJson> with_any_of(OrderedJson schema, const std::string& where) {
  if (!has(schema, "oneOf")) return schema;
  const OrderedJson branches = schema["oneOf"];
  schema.erase("oneOf");
  if (!has(schema, "anyOf")) {
    schema["anyOf"] = branches;
  } else if (branches.is_array() && schema["anyOf"].is_array()) {
    BRISK_ASSIGN_OR_RETURN(schema["anyOf"], combined_branches(schema["anyOf"], branches, where));
  }
  return schema;
}

}  // namespace

bool is_annotation(std::string_view keyword) {
  constexpr std::array kAnnotations = {"title",
                                       "description",
                                       "default",
                                       "example",
                                       "examples",
                                       "$comment",
                                       "$schema",
                                       "$id",
                                       "id",
                                       "deprecated",
                                       "readOnly",
                                       "writeOnly",
                                       "$defs",
                                       "definitions",
                                       "discriminator",
                                       "contentMediaType",
                                       "contentEncoding",
                                       "name",
                                       "strict"};
  return std::ranges::find(kAnnotations, keyword) != kAnnotations.end() ||
         keyword.starts_with("x-");
}

absl::StatusOr<OrderedJson> merge_schemas(OrderedJson a, const OrderedJson& given,
                                          const std::string& where) {
  if (a == OrderedJson(true)) return given;
  if (given == OrderedJson(true)) return a;
  if (a == OrderedJson(false) || given == OrderedJson(false)) return OrderedJson(false);
  if (!a.is_object() || !given.is_object()) {
    return invalid_input("{}: a schema must be an object, true or false", where);
  }
  BRISK_ASSIGN_OR_RETURN(a, with_any_of(std::move(a), where));
  BRISK_ASSIGN_OR_RETURN(const OrderedJson b, with_any_of(given, where));
  for (const OrderedJson* schema : {&std::as_const(a), &b}) {
    if (!has(*schema, "properties") || (*schema)["properties"].is_object()) continue;
    return invalid_input("{}: 'properties' must be an object", where);
  }
  if (has(a, "const") && has(b, "const") && a["const"] != b["const"]) return OrderedJson(false);
  merge_properties(&a, b);
  for (const auto& [keyword, value] : b.items()) {
    if (keyword == "properties" || is_annotation(keyword)) continue;
    if (!has(a, keyword.c_str())) {
      a[keyword] = value;
    } else if (keyword == "$ref" && a[keyword] != value) {
      const OrderedJson one = {{"$ref", value}};
      if (!has(a, "allOf")) a["allOf"] = OrderedJson::array();
      a["allOf"].push_back(one);
    } else {
      BRISK_ASSIGN_OR_RETURN(a[keyword], merge_keyword(keyword, a[keyword], value, where));
    }
  }
  return a;
}

}  // namespace brisk
