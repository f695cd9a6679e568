#include "model/template/namespace.h"

#include "base/status.h"

namespace brisk::jinja {

absl::StatusOr<std::optional<Value>> Namespace::attribute(Runtime& runtime, std::string_view name) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(entries_.size() / 16));
  for (const auto& [key, value] : entries_) {
    if (key.is_text() && key.text() == name) return value;
  }
  return std::nullopt;
}

absl::StatusOr<Value> Namespace::call(Runtime&, const Arguments&) {
  return invalid_input("'Namespace' object is not callable");
}

absl::Status Namespace::set(Runtime& runtime, std::string_view name, Value value) {
  BRISK_RETURN_IF_ERROR(runtime.spend_steps(entries_.size() / 16));
  for (auto& [key, old] : entries_) {
    if (!key.is_text() || key.text() != name) continue;
    old = std::move(value);
    return absl::OkStatus();
  }
  BRISK_ASSIGN_OR_RETURN(Value key, runtime.text(std::string(name)));
  BRISK_RETURN_IF_ERROR(runtime.spend_bytes(2 * sizeof(Value)));
  entries_.emplace_back(std::move(key), std::move(value));
  return absl::OkStatus();
}

}  // namespace brisk::jinja
