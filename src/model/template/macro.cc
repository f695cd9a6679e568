#include "model/template/macro.h"

#include <algorithm>

#include "base/status.h"
#include "model/template/frame.h"

namespace brisk::jinja {

absl::StatusOr<std::optional<Value>> MacroObject::attribute(Runtime&, std::string_view name) {
  if (name == "name") return Value(macro_.name);
  return std::nullopt;
}

absl::Status MacroObject::bind(Runtime& runtime, const Arguments& arguments, Scope& scope,
                               std::vector<const Parameter*>* missing) const {
  const auto& positional = arguments.positional;
  const size_t parameters = macro_.parameters.size();
  for (size_t i = 0; i < std::min(positional.size(), parameters); ++i) {
    scope.set(macro_.parameters[i].name, positional[i]);
  }
  std::vector<bool> taken(arguments.named.size(), false);
  const auto take = [&](std::string_view name) -> const Value* {
    for (size_t i = 0; i < taken.size(); ++i) {
      if (taken[i] || arguments.named[i].first != name) continue;
      taken[i] = true;
      return &arguments.named[i].second;
    }
    return nullptr;
  };
  for (size_t i = positional.size(); i < parameters; ++i) {
    BRISK_RETURN_IF_ERROR(runtime.spend_steps(1 + taken.size() / 16));
    const Value* value = take(macro_.parameters[i].name);
    if (value != nullptr)
      scope.set(macro_.parameters[i].name, *value);
    else
      missing->push_back(&macro_.parameters[i]);
  }
  if (macro_.uses_caller) {
    const Value* caller = take("caller");
    scope.set("caller", caller != nullptr ? *caller : Value::undefined("No caller defined"));
  }
  std::vector<std::pair<Value, Value>> rest;
  for (size_t i = 0; i < taken.size(); ++i) {
    const auto& [name, value] = arguments.named[i];
    if (taken[i]) continue;
    if (!macro_.uses_kwargs) {
      return invalid_input("macro '{}' takes no keyword argument '{}'", macro_.name, name);
    }
    rest.emplace_back(Value(name), value);
  }
  if (macro_.uses_kwargs) {
    BRISK_ASSIGN_OR_RETURN(Value kwargs, runtime.dict(std::move(rest)));
    scope.set("kwargs", std::move(kwargs));
  }
  const size_t used = std::min(positional.size(), parameters);
  if (macro_.uses_varargs) {
    std::vector<Value> more(positional.begin() + static_cast<ptrdiff_t>(used), positional.end());
    BRISK_ASSIGN_OR_RETURN(Value varargs, runtime.sequence(SequenceKind::kTuple, std::move(more)));
    scope.set("varargs", std::move(varargs));
  } else if (positional.size() > parameters) {
    return invalid_input("macro '{}' takes not more than {} argument(s)", macro_.name, parameters);
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> MacroObject::call(Runtime& runtime, const Arguments& arguments) {
  auto scope = std::make_shared<Scope>(scope_);
  std::vector<const Parameter*> missing;
  BRISK_RETURN_IF_ERROR(bind(runtime, arguments, *scope, &missing));
  // Defaults see the parameters, and the variables around the macro, not those around the call.
  const auto fill_in_defaults = [&]() -> absl::Status {
    for (const Parameter* parameter : missing) {
      Value value;
      if (parameter->fallback != nullptr) {
        BRISK_ASSIGN_OR_RETURN(value, interpreter_.evaluate(*parameter->fallback));
      } else {
        value = Value::undefined(fmt::format("parameter '{}' was not provided", parameter->name));
      }
      scope->set(parameter->name, std::move(value));
    }
    return absl::OkStatus();
  };
  return interpreter_.capture(scope, fill_in_defaults, macro_.body);
}

}  // namespace brisk::jinja
