// Variables by name, in scopes that lie inside each other.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string_view>
#include <utility>

#include "model/template/value.h"

namespace brisk::jinja {

// Macros keep the scope they were defined in alive. Names are views into the template's tree or
// the render's input, which outlive every scope.
class Scope {
 public:
  explicit Scope(std::shared_ptr<const Scope> outer) : outer_(std::move(outer)) {}

  void set(std::string_view name, Value value) { variables_[name] = std::move(value); }

  // Here or in the scopes around; null when there is none.
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer_.get()) {
      const auto found = scope->variables_.find(name);
      if (found != scope->variables_.end()) return &found->second;
    }
    return nullptr;
  }

 private:
  const std::shared_ptr<const Scope> outer_;
  absl::flat_hash_map<std::string_view, Value> variables_;
};

}  // namespace brisk::jinja
