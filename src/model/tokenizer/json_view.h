// Reading values out of a parsed JSON document, where anything may be missing or of another type.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

namespace brisk {

// A value in a simdjson document, or nothing. Cheap to copy; the parser must outlive it.
class JsonView {
 public:
  JsonView() = default;
  explicit JsonView(simdjson::dom::element element) : element_(element) {}

  bool exists() const { return element_.has_value(); }
  bool is_null() const { return !element_ || element_->is_null(); }
  bool is_object() const { return element_ && element_->is_object(); }
  bool is_array() const { return element_ && element_->is_array(); }
  bool is_string() const { return element_ && element_->is_string(); }

  // The member `key`; nothing when this is no object or has no such member.
  JsonView operator[](std::string_view key) const {
    simdjson::dom::object object;
    simdjson::dom::element member;
    if (!element_ || element_->get(object) != simdjson::SUCCESS) return {};
    if (object.at_key(key).get(member) != simdjson::SUCCESS) return {};
    return JsonView(member);
  }

  // The value, or `fallback` when it is of another type.
  std::string_view text(std::string_view fallback = {}) const {
    std::string_view value;
    return element_ && element_->get(value) == simdjson::SUCCESS ? value : fallback;
  }
  bool boolean(bool fallback) const {
    bool value = false;
    return element_ && element_->get(value) == simdjson::SUCCESS ? value : fallback;
  }
  int64_t integer(int64_t fallback) const {
    int64_t value = 0;
    return element_ && element_->get(value) == simdjson::SUCCESS ? value : fallback;
  }
  std::optional<double> number() const {
    double value = 0;
    if (!element_ || element_->get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
  }

  // Calls visit(JsonView) for every item; nothing when this is no array.
  template <class Visit>
  void for_each_item(Visit visit) const {
    simdjson::dom::array array;
    if (!element_ || element_->get(array) != simdjson::SUCCESS) return;
    for (const simdjson::dom::element item : array) visit(JsonView(item));
  }

  // Calls visit(key, JsonView) for every member; nothing when this is no object.
  template <class Visit>
  void for_each_member(Visit visit) const {
    simdjson::dom::object object;
    if (!element_ || element_->get(object) != simdjson::SUCCESS) return;
    for (const auto field : object) visit(field.key, JsonView(field.value));
  }

 private:
  std::optional<simdjson::dom::element> element_;
};

// Owns the memory of one document.
class JsonDocument {
 public:
  // The root, or nothing when `text` is not JSON or nests deeper than 64; error() then says why.
  JsonView parse(std::string_view text) {
    simdjson::dom::element root;
    error_ = parser_.allocate(text.size(), 64);
    if (error_ == simdjson::SUCCESS) {
      error_ = parser_.parse(text.data(), text.size(), true).get(root);
    }
    return error_ == simdjson::SUCCESS ? JsonView(root) : JsonView();
  }

  std::string_view error() const { return simdjson::error_message(error_); }

 private:
  simdjson::dom::parser parser_;
  simdjson::error_code error_ = simdjson::SUCCESS;
};

}  // namespace brisk
