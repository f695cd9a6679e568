#include "model/template/loop.h"

#include "base/status.h"
#include "model/template/frame.h"
#include "model/template/operators.h"

namespace brisk::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result call_cycle(Runtime&, const Value& self, const Arguments& arguments) {
  return static_cast<LoopObject*>(self.object())->cycle(arguments);
}

Result call_changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return static_cast<LoopObject*>(self.object())->changed(runtime, arguments);
}

constexpr Native kCycle{"cycle", call_cycle};
constexpr Native kChanged{"changed", call_changed};

}  // namespace

absl::StatusOr<std::optional<Value>> LoopObject::pull() {
  if (filtered_taken_ < filtered_.size()) return filtered_[filtered_taken_++];
  while (taken_ < source_->items.size()) {
    const Value& item = source_->items[taken_++];
    if (loop_.filter == nullptr) return item;
    auto scope = std::make_shared<Scope>(outer_);
    BRISK_RETURN_IF_ERROR(interpreter_.assign(*scope, loop_.target, item));
    BRISK_ASSIGN_OR_RETURN(const Value keep, interpreter_.evaluate_in(scope, *loop_.filter));
    if (keep.truthy()) return item;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Value>> LoopObject::peek() {
  if (!peeked_) {
    BRISK_ASSIGN_OR_RETURN(std::optional<Value> item, pull());
    peeked_.emplace(std::move(item));
  }
  return *peeked_;
}

absl::StatusOr<bool> LoopObject::next() {
  BRISK_ASSIGN_OR_RETURN(std::optional<Value> item, peek());
  peeked_.reset();
  if (!item) return false;
  previous_ = std::exchange(current_, *std::move(item));
  ++index_;
  return true;
}

absl::StatusOr<int64_t> LoopObject::length() {
  if (length_) return *length_;
  if (loop_.filter == nullptr) {
    length_ = static_cast<int64_t>(source_->items.size());
    return *length_;
  }
  std::vector<Value> rest;
  while (true) {
    BRISK_ASSIGN_OR_RETURN(std::optional<Value> item, pull());
    if (!item) break;
    rest.push_back(*std::move(item));
  }
  const bool one_ahead = peeked_ && peeked_->has_value();
  length_ = index_ + 1 + one_ahead + static_cast<int64_t>(rest.size());
  filtered_ = std::move(rest);
  filtered_taken_ = 0;
  return *length_;
}

void LoopObject::finish() {
  source_ = std::make_shared<const Sequence>();
  filtered_.clear();
  outer_.reset();
}

absl::StatusOr<std::optional<Value>> LoopObject::attribute(Runtime&, std::string_view name) {
  if (name == "index") return Value(index_ + 1);
  if (name == "index0") return Value(index_);
  if (name == "first") return Value(index_ == 0);
  if (name == "depth") return Value(int64_t{depth_} + 1);
  if (name == "depth0") return Value(int64_t{depth_});
  if (name == "previtem") {
    return index_ == 0 ? Value::undefined("there is no previous item") : previous_;
  }
  if (name == "last" || name == "nextitem") {
    BRISK_ASSIGN_OR_RETURN(std::optional<Value> ahead, peek());
    if (name == "last") return Value(!ahead.has_value());
    return ahead ? *std::move(ahead) : Value::undefined("there is no next item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    BRISK_ASSIGN_OR_RETURN(const int64_t count, length());
    if (name == "length") return Value(count);
    return Value(count - index_ - (name == "revindex0" ? 1 : 0));
  }
  if (name == "cycle" || name == "changed") {
    const Native* native = name == "cycle" ? &kCycle : &kChanged;
    return Value(std::make_shared<const Function>(Function{.native = native, .self = Value(this)}));
  }
  return std::nullopt;
}

Result LoopObject::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) return invalid_input("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index_) % arguments.positional.size()];
}

Result LoopObject::changed(Runtime& runtime, const Arguments& arguments) {
  const auto& values = arguments.positional;
  bool same = last_changed_ && last_changed_->size() == values.size();
  for (size_t i = 0; same && i < values.size(); ++i) {
    BRISK_ASSIGN_OR_RETURN(same, equal(runtime, (*last_changed_)[i], values[i]));
  }
  last_changed_ = values;
  return Value(!same);
}

Result LoopObject::call(Runtime&, const Arguments& arguments) {
  if (!loop_.recursive) {
    return invalid_input("The loop must have the 'recursive' marker to be called recursively.");
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty() || outer_ == nullptr) {
    return invalid_input("loop() takes one iterable, inside its loop");
  }
  const auto run = [&] {
    return interpreter_.run_loop(loop_, arguments.positional[0], depth_ + 1).status();
  };
  return interpreter_.capture(outer_, run, {});
}

absl::StatusOr<Interpreter::Flow> Interpreter::run(const For& node) {
  BRISK_ASSIGN_OR_RETURN(const Value iterable, evaluate(*node.iterable));
  return run_loop(node, iterable, 0);
}

absl::StatusOr<Interpreter::Flow> Interpreter::run_loop(const For& node, const Value& iterable,
                                                        int depth) {
  BRISK_ASSIGN_OR_RETURN(auto source, iterate(runtime_, iterable));
  auto object = std::make_unique<LoopObject>(*this, node, std::move(source), scope_, depth);
  BRISK_ASSIGN_OR_RETURN(LoopObject * loop, runtime_.adopt(std::move(object)));
  bool any = false;
  while (true) {
    BRISK_ASSIGN_OR_RETURN(const bool more, loop->next());
    if (!more) break;
    any = true;
    BRISK_RETURN_IF_ERROR(runtime_.spend_steps(1));
    auto inner = std::make_shared<Scope>(scope_);
    BRISK_RETURN_IF_ERROR(assign(*inner, node.target, loop->current()));
    inner->set("loop", Value(loop));
    const Frame frame(*this, std::move(inner), out_);
    BRISK_ASSIGN_OR_RETURN(const Flow flow, execute(node.body));
    if (flow == Flow::kBreak) break;
  }
  loop->finish();
  if (any) return Flow::kNext;
  const Frame frame(*this, std::make_shared<Scope>(scope_), out_);
  return execute(node.otherwise);
}

}  // namespace brisk::jinja
