// A stretch of interpretation with another scope and another output.
#pragma once

#include <memory>
#include <utility>

#include "model/template/interpreter.h"

namespace brisk::jinja {

// Puts back what there was before when it ends.
class Interpreter::Frame {
 public:
  Frame(Interpreter& interpreter, std::shared_ptr<Scope> scope, TextBuilder* out)
      : interpreter_(interpreter),
        scope_before_(std::exchange(interpreter.scope_, std::move(scope))),
        out_before_(std::exchange(interpreter.out_, out)) {}
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame() {
    interpreter_.scope_ = std::move(scope_before_);
    interpreter_.out_ = out_before_;
  }

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> scope_before_;
  TextBuilder* out_before_;
};

}  // namespace brisk::jinja
