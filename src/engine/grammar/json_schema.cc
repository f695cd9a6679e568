#include "engine/grammar/json_schema.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_replace.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/grammar/code_points.h"
#include "engine/grammar/json_text.h"
#include "engine/grammar/scalar_schema.h"
#include "engine/grammar/schema_merge.h"

namespace brisk {
namespace {

constexpr int kDepthMax = 200;
constexpr int kSchemasMax = 20'000;  // looked at, merged ones too
constexpr size_t kMergedBytesMax = size_t{16} << 20;
constexpr int kInlineItemsMax = 8;  // arrays of more refer to a rule for their items

constexpr std::array kObjectKeywords = {"properties", "required", "additionalProperties"};
constexpr std::array kArrayKeywords = {"items", "prefixItems", "minItems", "maxItems",
                                       "additionalItems"};
constexpr std::array kStringKeywords = {"minLength", "maxLength", "pattern", "format"};
constexpr std::array kNumberKeywords = {"minimum", "maximum", "exclusiveMinimum",
                                        "exclusiveMaximum"};
constexpr std::array kOtherKeywords = {"type",  "enum",  "const", "anyOf",
                                       "oneOf", "allOf", "$ref",  "nullable"};
constexpr std::array kTypes = {"object", "array", "string", "number", "integer", "boolean", "null"};

template <class List>
bool is_in(const List& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

template <class List>
bool has_any(const OrderedJson& schema, const List& keywords) {
  return std::ranges::any_of(keywords, [&](const char* word) { return schema.contains(word); });
}

bool is_keyword(std::string_view word) {
  return is_in(kObjectKeywords, word) || is_in(kArrayKeywords, word) ||
         is_in(kStringKeywords, word) || is_in(kNumberKeywords, word) ||
         is_in(kOtherKeywords, word);
}

class SchemaReader {
 public:
  SchemaReader(const OrderedJson& root, Grammar* grammar, JsonText* text)
      : root_(root), grammar_(*grammar), text_(*text) {}

  // A rule for the texts of the whole schema.
  absl::StatusOr<RuleId> read_root() {
    const RuleId root = rule_of("#");
    BRISK_RETURN_IF_ERROR(read_waiting());
    return root;
  }

  // The members of the root's objects as keyword arguments: a=1, b="x".
  absl::StatusOr<RuleId> read_keywords() {
    const RuleId root = grammar_.add_rule(true);
    BRISK_RETURN_IF_ERROR(check_keywords(root_, {.path = "#"}));
    for (const char* keyword : {"$ref", "allOf", "anyOf", "oneOf", "enum", "const"}) {
      if (root_.contains(keyword)) {
        return schema_fault("#", keyword, "is not supported around keyword arguments");
      }
    }
    BRISK_ASSIGN_OR_RETURN(const Members members, read_members(root_, {.path = "#"}, true));
    grammar_.define(root, text_.members(members.named, grammar_.nothing()));
    BRISK_RETURN_IF_ERROR(read_waiting());
    return root;
  }

 private:
  struct Where {
    std::string path;
    int depth = 0;

    Where below(std::string_view keyword) const {
      return {.path = fmt::format("{}/{}", path, keyword), .depth = depth + 1};
    }
  };
  using Expression = absl::StatusOr<ExprId>;

  struct Members {
    std::vector<JsonText::Member> named;
    ExprId others;  // no text where no others may come
  };

  // Rules that are referred to wait until the schema before them is done.
  absl::Status read_waiting() {
    for (; !waiting_.empty(); waiting_.pop_front()) {
      const auto& [pointer, rule] = waiting_.front();
      BRISK_ASSIGN_OR_RETURN(const OrderedJson* schema, resolve(pointer));
      BRISK_ASSIGN_OR_RETURN(const ExprId body, read(*schema, {.path = pointer}));
      grammar_.define(rule, body);
      if (grammar_.is_too_large()) break;
    }
    return absl::OkStatus();
  }

  RuleId rule_of(const std::string& pointer) {
    const auto [place, is_new] = rules_.try_emplace(pointer);
    if (!is_new) return place->second;
    place->second = grammar_.add_rule();
    waiting_.emplace_back(pointer, place->second);
    return place->second;
  }

  absl::StatusOr<const OrderedJson*> resolve(const std::string& pointer) const {
    if (!pointer.starts_with("#") || (pointer.size() > 1 && pointer[1] != '/')) {
      return invalid_input(
          "$ref \"{}\" is not supported: only places in the same schema are, as "
          "\"#/$defs/name\"",
          pointer.substr(0, 200));
    }
    const OrderedJson* at = &root_;
    for (size_t begin = 2; begin <= pointer.size();) {
      const size_t end = std::min(pointer.find('/', begin), pointer.size());
      const std::string token = absl::StrReplaceAll(pointer.substr(begin, end - begin),
                                                    {{"~1", "/"}, {"~0", "~"}, {"%25", "%"}});
      size_t index = 0;
      if (at->is_object() && at->contains(token)) {
        at = &(*at)[token];
      } else if (at->is_array() && absl::SimpleAtoi(token, &index) && index < at->size()) {
        at = &(*at)[index];
      } else {
        return invalid_input("$ref \"{}\" leads nowhere", pointer.substr(0, 200));
      }
      begin = end + 1;
    }
    return at;
  }

  static absl::Status check_keywords(const OrderedJson& schema, const Where& where) {
    for (const auto& [keyword, value] : schema.items()) {
      const bool is_off = value.is_boolean() && !value.get<bool>();
      if (is_keyword(keyword) || is_annotation(keyword)) continue;
      if (keyword == "uniqueItems" && is_off) continue;
      return schema_fault(where.path, keyword, "is not supported");
    }
    return absl::OkStatus();
  }

  Expression read(const OrderedJson& schema, const Where& where) {
    if (where.depth > kDepthMax || ++schemas_ > kSchemasMax) {
      return invalid_input("the schema at {} is too deep or refers to too much",
                           where.path.substr(0, 300));
    }
    if (schema.is_boolean()) return schema.get<bool>() ? text_.any_value() : grammar_.nothing();
    if (!schema.is_object()) {
      return invalid_input("the schema at {} must be an object, true or false",
                           where.path.substr(0, 300));
    }
    BRISK_RETURN_IF_ERROR(check_keywords(schema, where));
    if (schema.contains("$ref")) return read_ref(schema, where);
    if (schema.contains("allOf")) return read_all_of(schema, where);
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (schema.contains(keyword)) return read_any_of(schema, keyword, where);
    }
    if (schema.contains("enum") || schema.contains("const")) return read_enum(schema, where);
    return read_types(schema, where);
  }

  // `schema` without `keyword`, or nothing when only annotations are left.
  static std::optional<OrderedJson> without(OrderedJson schema, const char* keyword) {
    schema.erase(keyword);
    for (const auto& [key, value] : schema.items()) {
      if (!is_annotation(key)) return schema;
    }
    return std::nullopt;
  }

  absl::StatusOr<OrderedJson> merge(const OrderedJson& a, const OrderedJson& b,
                                    const Where& where) {
    BRISK_ASSIGN_OR_RETURN(OrderedJson merged, merge_schemas(a, b, "the schema at " + where.path));
    merged_bytes_ += merged.dump().size();
    if (merged_bytes_ > kMergedBytesMax) {
      return invalid_input("the schema at {} has too much to merge", where.path.substr(0, 300));
    }
    return merged;
  }

  Expression read_ref(const OrderedJson& schema, const Where& where) {
    if (!schema["$ref"].is_string()) return schema_fault(where.path, "$ref", "must be a string");
    const auto pointer = schema["$ref"].get<std::string>();
    BRISK_ASSIGN_OR_RETURN(const OrderedJson* target, resolve(pointer));
    const std::optional<OrderedJson> rest = without(schema, "$ref");
    if (!rest.has_value()) return grammar_.rule(rule_of(pointer));
    BRISK_ASSIGN_OR_RETURN(const OrderedJson merged, merge(*target, *rest, where));
    return read(merged, where.below("$ref"));
  }

  Expression read_all_of(const OrderedJson& schema, const Where& where) {
    const OrderedJson& parts = schema["allOf"];
    if (!parts.is_array() || parts.empty()) {
      return schema_fault(where.path, "allOf", "must be a list of schemas");
    }
    OrderedJson merged = without(schema, "allOf").value_or(OrderedJson::object());
    for (const OrderedJson& part : parts) {
      BRISK_ASSIGN_OR_RETURN(merged, merge(merged, part, where));
    }
    return read(merged, where.below("allOf"));
  }

  Expression read_any_of(const OrderedJson& schema, const char* keyword, const Where& where) {
    const OrderedJson& parts = schema[keyword];
    if (!parts.is_array() || parts.empty()) {
      return schema_fault(where.path, keyword, "must be a list of schemas");
    }
    const std::optional<OrderedJson> rest = without(schema, keyword);
    std::vector<ExprId> choices;
    for (size_t i = 0; i < parts.size(); ++i) {
      const Where here = where.below(keyword).below(std::to_string(i));
      OrderedJson merged;
      if (rest.has_value()) {
        BRISK_ASSIGN_OR_RETURN(merged, merge(*rest, parts[i], here));
      }
      BRISK_ASSIGN_OR_RETURN(const ExprId choice, read(rest ? merged : parts[i], here));
      choices.push_back(choice);
    }
    return grammar_.choice(std::move(choices));
  }

  static bool has_type(const OrderedJson& value, std::string_view type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "number") return value.is_number();
    if (type == "integer") return value.is_number_integer();
    if (type == "boolean") return value.is_boolean();
    return value.is_null();
  }

  Expression read_enum(const OrderedJson& schema, const Where& where) {
    OrderedJson values = OrderedJson::array();
    if (schema.contains("enum")) {
      if (!schema["enum"].is_array() || schema["enum"].empty()) {
        return schema_fault(where.path, "enum", "must be a list of values");
      }
      values = schema["enum"];
    }
    if (schema.contains("const")) {
      const OrderedJson& value = schema["const"];
      const bool is_possible =
          !schema.contains("enum") || std::ranges::find(values, value) != values.end();
      values = OrderedJson::array();
      if (is_possible) values.push_back(value);
    }
    BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> types, types_of(schema, where));
    OrderedJson rest = schema;
    rest.erase("enum");
    rest.erase("const");
    std::vector<ExprId> choices;
    bool are_scalar = true;
    for (const OrderedJson& value : values) {
      const auto is = [&](const std::string& type) { return has_type(value, type); };
      const bool is_possible = schema.contains("type") ? std::ranges::any_of(types, is) : true;
      if (!is_possible) continue;
      choices.push_back(text_.value(value));
      are_scalar = are_scalar && !value.is_structured();
    }
    const ExprId listed = grammar_.choice(std::move(choices));
    if (has_any(rest, kObjectKeywords) || has_any(rest, kArrayKeywords) ||
        ((has_any(rest, kStringKeywords) || has_any(rest, kNumberKeywords)) && !are_scalar)) {
      return schema_fault(where.path, "enum", "and other keywords are not supported together here");
    }
    if (!has_any(rest, kStringKeywords) && !has_any(rest, kNumberKeywords)) return listed;
    BRISK_ASSIGN_OR_RETURN(const ExprId others, read_types(rest, where));
    return grammar_.both(listed, others);
  }

  // The types that a schema names, or the one that its keywords are about; none: any.
  absl::StatusOr<std::vector<std::string>> types_of(const OrderedJson& schema,
                                                    const Where& where) const {
    std::vector<std::string> types;
    if (schema.contains("type")) {
      const OrderedJson& json = schema["type"];
      for (const OrderedJson& type : json.is_array() ? json : OrderedJson::array({json})) {
        if (!type.is_string() || !is_in(kTypes, type.get<std::string>())) {
          return schema_fault(
              where.path, "type",
              "must be object, array, string, number, integer, boolean or null, or a "
              "list of these");
        }
        types.push_back(type.get<std::string>());
      }
      if (is_in(types, "number")) std::erase(types, "integer");
      const bool nullable = schema.contains("nullable") && schema["nullable"] == OrderedJson(true);
      if (nullable && !is_in(types, "null")) types.push_back("null");
      return types;
    }
    if (has_any(schema, kObjectKeywords)) types.emplace_back("object");
    if (has_any(schema, kArrayKeywords)) types.emplace_back("array");
    if (has_any(schema, kStringKeywords)) types.emplace_back("string");
    if (has_any(schema, kNumberKeywords)) types.emplace_back("number");
    return types;
  }

  Expression read_types(const OrderedJson& schema, const Where& where) {
    BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> types, types_of(schema, where));
    if (types.empty() && !schema.contains("type")) return text_.any_value();
    std::vector<ExprId> choices;
    for (const std::string& type : types) {
      BRISK_ASSIGN_OR_RETURN(const ExprId choice, read_type(type, schema, where));
      choices.push_back(choice);
    }
    return grammar_.choice(std::move(choices));
  }

  Expression read_type(const std::string& type, const OrderedJson& schema, const Where& where) {
    if (type == "object") return read_object(schema, where);
    if (type == "array") return read_array(schema, where);
    if (type == "string") return string_schema(schema, where.path, &text_, &grammar_);
    if (type == "number") return number_schema(schema, false, where.path, &text_, &grammar_);
    if (type == "integer") return number_schema(schema, true, where.path, &text_, &grammar_);
    return type == "boolean" ? text_.boolean() : text_.null();
  }

  Expression read_array(const OrderedJson& schema, const Where& where) {
    BRISK_ASSIGN_OR_RETURN(const std::optional<int> min, count_of(schema, "minItems", where.path));
    BRISK_ASSIGN_OR_RETURN(const std::optional<int> max, count_of(schema, "maxItems", where.path));
    const bool is_old_tuple = schema.contains("items") && schema["items"].is_array();
    const char* prefix_key = is_old_tuple ? "items" : "prefixItems";
    const char* items_key = is_old_tuple ? "additionalItems" : "items";
    std::vector<ExprId> prefix;
    if (schema.contains(prefix_key)) {
      if (!schema[prefix_key].is_array())
        return schema_fault(where.path, prefix_key, "must be a list");
      for (const OrderedJson& item : schema[prefix_key]) {
        const Where here = where.below(prefix_key).below(std::to_string(prefix.size()));
        BRISK_ASSIGN_OR_RETURN(const ExprId expr, read(item, here));
        prefix.push_back(expr);
      }
    }
    const int least = min.value_or(0);
    const int most = max.value_or(kUnbounded);
    if (max.has_value() && least > most) return grammar_.nothing();
    const auto prefixed = static_cast<int>(prefix.size());
    ExprId item = grammar_.nothing();
    const bool is_open = prefix.empty() || least > prefixed;
    if (schema.contains(items_key)) {
      BRISK_ASSIGN_OR_RETURN(item, read(schema[items_key], where.below(items_key)));
    } else if (is_open) {
      item = text_.any_value();
    }
    if (std::max(least, most) > kInlineItemsMax) item = called(item);
    return grammar_.sequence(
        {grammar_.literal("["), text_.items(prefix, item, least, most), grammar_.literal("]")});
  }

  ExprId called(ExprId body) {
    const RuleId rule = grammar_.add_rule(true);
    grammar_.define(rule, body);
    return grammar_.rule(rule);
  }

  absl::StatusOr<std::vector<std::string>> required_of(const OrderedJson& schema,
                                                       const Where& where) const {
    std::vector<std::string> required;
    if (!schema.contains("required")) return required;
    if (!schema["required"].is_array())
      return schema_fault(where.path, "required", "must be a list of names");
    for (const OrderedJson& name : schema["required"]) {
      if (!name.is_string()) return schema_fault(where.path, "required", "must be a list of names");
      required.push_back(name.get<std::string>());
    }
    return required;
  }

  ExprId member(const std::string& name, ExprId value, bool is_keyword_argument) {
    if (is_keyword_argument) return grammar_.sequence({grammar_.literal(name + "="), value});
    const ExprId key = text_.quoted(grammar_.literal(json_spelling(name)));
    return grammar_.sequence({key, text_.colon(), value});
  }

  Expression read_object(const OrderedJson& schema, const Where& where) {
    BRISK_ASSIGN_OR_RETURN(const Members members, read_members(schema, where, false));
    return grammar_.sequence({grammar_.literal("{"), text_.members(members.named, members.others),
                              grammar_.literal("}")});
  }

  absl::StatusOr<Members> read_members(const OrderedJson& schema, const Where& where,
                                       bool are_keyword_arguments) {
    BRISK_ASSIGN_OR_RETURN(const std::vector<std::string> required, required_of(schema, where));
    const bool has_properties = schema.contains("properties");
    if (has_properties && !schema["properties"].is_object()) {
      return schema_fault(where.path, "properties", "must be an object");
    }
    const OrderedJson none = OrderedJson::object();
    const OrderedJson& properties = has_properties ? schema["properties"] : none;
    OrderedJson additional = !has_properties;
    if (schema.contains("additionalProperties")) additional = schema["additionalProperties"];
    const bool is_open = additional != OrderedJson(false);

    std::vector<std::string> names;
    Members members{.named = {}, .others = grammar_.nothing()};
    const auto add = [&](const std::string& name, ExprId value, bool is_required) {
      names.push_back(name);
      members.named.push_back(
          {.pair = member(name, value, are_keyword_arguments), .is_required = is_required});
    };
    for (const auto& [name, property] : properties.items()) {
      const Where here = where.below("properties").below(name);
      BRISK_ASSIGN_OR_RETURN(const ExprId value, read(property, here));
      add(name, value, is_in(required, name));
    }
    ExprId other_value = grammar_.nothing();
    const bool lacks_some = std::ranges::any_of(
        required, [&](const std::string& name) { return !properties.contains(name); });
    const bool is_closed = schema.contains("additionalProperties") && !is_open;
    if (is_open || (lacks_some && !is_closed)) {
      BRISK_ASSIGN_OR_RETURN(other_value, read(is_open ? additional : OrderedJson(true),
                                               where.below("additionalProperties")));
    }
    for (const std::string& name : required) {
      if (!is_in(names, name)) add(name, other_value, true);
    }
    if (is_open && !are_keyword_arguments) {
      members.others = grammar_.sequence({text_.key_except(names), text_.colon(), other_value});
    }
    return members;
  }

  const OrderedJson& root_;
  Grammar& grammar_;
  JsonText& text_;
  absl::flat_hash_map<std::string, RuleId> rules_;  // by pointer
  std::deque<std::pair<std::string, RuleId>> waiting_;
  int schemas_ = 0;
  size_t merged_bytes_ = 0;
};

}  // namespace

absl::StatusOr<Grammar> json_schema_grammar(std::string_view schema) {
  Grammar grammar;
  JsonText text(&grammar);
  BRISK_RETURN_IF_ERROR(add_schema(schema, SchemaStyle::kJson, &text, &grammar).status());
  return grammar;
}

absl::StatusOr<RuleId> add_schema(std::string_view schema, SchemaStyle style, JsonText* text,
                                  Grammar* grammar) {
  const auto json = parse_ordered_json(schema, {.bytes_max = kSchemaBytesMax});
  if (!json.ok()) return annotate(json.status(), "the schema");
  SchemaReader reader(*json, grammar, text);
  if (style == SchemaStyle::kJson) return reader.read_root();
  if (!json->is_object()) return invalid_input("the schema must be an object");
  return reader.read_keywords();
}

Grammar json_object_grammar() {
  Grammar grammar;
  const RuleId root = grammar.add_rule();
  grammar.define(root, JsonText(&grammar).any_object());
  return grammar;
}

}  // namespace brisk
