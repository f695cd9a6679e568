// A macro as a value: a piece of template with parameters and the scope it was defined in.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "model/template/ast.h"
#include "model/template/interpreter.h"
#include "model/template/scope.h"

namespace brisk::jinja {

class MacroObject final : public Object {
 public:
  // `interpreter` and `macro` must outlive this.
  MacroObject(Interpreter& interpreter, const Macro& macro, std::shared_ptr<Scope> scope)
      : interpreter_(interpreter), macro_(macro), scope_(std::move(scope)) {}

  std::string_view type_name() const override { return "jinja2.runtime.Macro"; }
  absl::StatusOr<std::optional<Value>> attribute(Runtime& runtime, std::string_view name) override;
  bool callable() const override { return true; }
  absl::StatusOr<Value> call(Runtime& runtime, const Arguments& arguments) override;

 private:
  // Binds the parameters that were given, and says which were not.
  absl::Status bind(Runtime& runtime, const Arguments& arguments, Scope& scope,
                    std::vector<const Parameter*>* missing) const;

  Interpreter& interpreter_;
  const Macro& macro_;
  const std::shared_ptr<Scope> scope_;
};

}  // namespace brisk::jinja
