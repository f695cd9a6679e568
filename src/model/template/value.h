// A template's values: Python's, as far as a template can tell. All are immutable but the objects
// (namespaces, loops, macros), which belong to the render that made them.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/json.h"

namespace brisk::jinja {

class Object;
class Runtime;
struct Dict;
struct Function;
struct Sequence;

// What a missing variable, attribute or item evaluates to. It prints as nothing, is false and
// empty; any other use fails with `message`.
struct Undefined {
  std::string message;
};

struct None {};

class Value {
 public:
  enum class Kind : uint8_t {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kText,  // UTF-8; its characters are code points
    kSequence,
    kDict,
    kFunction,
    kObject,
  };

  Value() : data_(std::shared_ptr<const Undefined>()) {}
  Value(None none) : data_(none) {}
  explicit Value(bool flag) : data_(flag) {}
  explicit Value(int64_t number) : data_(number) {}
  explicit Value(double number) : data_(number) {}
  explicit Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}
  explicit Value(const char*) = delete;  // it would become a bool
  explicit Value(std::shared_ptr<const Sequence> sequence) : data_(std::move(sequence)) {}
  explicit Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
  explicit Value(std::shared_ptr<const Function> function) : data_(std::move(function)) {}
  explicit Value(Object* object) : data_(object) {}
  static Value undefined(std::string message) {
    Value value;
    value.data_ = std::make_shared<const Undefined>(Undefined{std::move(message)});
    return value;
  }

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_undefined() const { return kind() == Kind::kUndefined; }
  bool is_none() const { return kind() == Kind::kNone; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_int() const { return kind() == Kind::kInt; }
  bool is_float() const { return kind() == Kind::kFloat; }
  bool is_text() const { return kind() == Kind::kText; }
  bool is_sequence() const { return kind() == Kind::kSequence; }
  bool is_dict() const { return kind() == Kind::kDict; }
  bool is_function() const { return kind() == Kind::kFunction; }
  bool is_object() const { return kind() == Kind::kObject; }

  // REQUIRES: the value is of that kind.
  std::string_view undefined_message() const;
  bool as_bool() const { return get<bool>(); }
  int64_t as_int() const { return get<int64_t>(); }
  double as_float() const { return get<double>(); }
  std::string_view text() const { return *get<std::shared_ptr<const std::string>>(); }
  const std::shared_ptr<const Sequence>& sequence() const {
    return get<std::shared_ptr<const Sequence>>();
  }
  const Dict& dict() const { return *get<std::shared_ptr<const Dict>>(); }
  const Function& function() const { return *get<std::shared_ptr<const Function>>(); }
  Object* object() const { return get<Object*>(); }

  bool truthy() const;

  // The very same value: scalars by content, the rest by address.
  bool same_as(const Value& other) const;

  // Python's name of the type: "str", "dict", "jinja2.utils.Namespace".
  std::string_view type_name() const;

  // Levels of lists and dicts inside: 0 for anything else.
  int depth() const;

  // Can be a dict's key.
  bool hashable() const;

 private:
  template <class T>
  const T& get() const {
    const T* content = std::get_if<T>(&data_);
    BRISK_CHECK(content != nullptr);
    return *content;
  }

  // In the order of Kind.
  std::variant<std::shared_ptr<const Undefined>, None, bool, int64_t, double,
               std::shared_ptr<const std::string>, std::shared_ptr<const Sequence>,
               std::shared_ptr<const Dict>, std::shared_ptr<const Function>, Object*>
      data_;
};

enum class SequenceKind : uint8_t {
  kList,
  kTuple,
  kKeys,  // a dict's views: they have a length, but no items by number
  kValues,
  kItems,
  kGenerator,  // what filters like `map` yield: no length, always true, can be walked once
};

struct Sequence {
  SequenceKind kind;
  std::vector<Value> items;
  int depth;
  bool hashable;                // can be a dict's key: no list or dict anywhere inside
  mutable bool walked = false;  // kGenerator only
};

// In the order of insertion. Keys are scalars, texts and tuples of such.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth;
};

// Lists and dicts nest no deeper than this, so that recursion over them is safe.
inline constexpr int kValueDepthMax = 128;

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A filter, a test, a method or a global function. `self` is what stands before the bar or the dot.
struct Native {
  std::string_view name;
  absl::StatusOr<Value> (*call)(Runtime& runtime, const Value& self, const Arguments& arguments);
};

// A native function that is itself a value, such as `text.strip` before it is called.
struct Function {
  const Native* native;
  Value self;
};

// A value with identity and state. Owned by the Runtime, never freed before the render ends.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  // The attribute, or nothing when there is none of that name.
  virtual absl::StatusOr<std::optional<Value>> attribute(Runtime& runtime,
                                                         std::string_view name) = 0;
  virtual bool callable() const = 0;
  virtual absl::StatusOr<Value> call(Runtime& runtime, const Arguments& arguments) = 0;
};

// Errors: InvalidArgument when it nests deeper than kValueDepthMax.
absl::StatusOr<Value> from_json(const OrderedJson& json);

}  // namespace brisk::jinja
