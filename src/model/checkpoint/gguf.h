// The GGUF container, versions 2 and 3: a header of typed key-value pairs, a table of tensors, and
// their data. Format: ggml's docs/gguf.md. What the keys mean to a model is gguf_model.h.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "compute/quant/packing.h"
#include "compute/tensor/tensor.h"

namespace brisk {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Numbers stay where they lie in the file; strings are views into it. Arrays of arrays are counted
// but not kept.
struct GgufArray {
  GgufType type = GgufType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> numbers;
  std::vector<std::string_view> strings;

  // Element i as a number. REQUIRES: i < count, the elements are numbers or booleans.
  double number(uint64_t i) const;
};

// Unsigned and signed integers of every width are int64_t (larger ones are refused while reading).
using GgufValue = std::variant<int64_t, double, bool, std::string_view, GgufArray>;

struct GgufTensor {
  std::string_view name;
  DType dtype = DType::kF32;
  std::optional<Packing> packing = std::nullopt;  // of a compiled file
  std::vector<int64_t> shape;  // outermost first (the file has them the other way round)
  std::span<const std::byte> data;
};

// Views into the bytes it was parsed from.
struct GgufFile {
  uint32_t version = 3;
  std::vector<std::pair<std::string_view, GgufValue>> values;  // in file order
  absl::flat_hash_map<std::string, size_t> index;              // key -> position in values
  std::string_view pairs;                                      // the values' bytes
  std::vector<GgufTensor> tensors;

  const GgufValue* find(std::string_view key) const;

  // Typed reads: nullopt when the key is absent, InvalidArgument when it holds something else.
  absl::StatusOr<std::optional<int64_t>> integer(std::string_view key) const;
  absl::StatusOr<std::optional<double>> number(std::string_view key) const;
  absl::StatusOr<std::optional<bool>> boolean(std::string_view key) const;
  absl::StatusOr<std::optional<std::string_view>> string(std::string_view key) const;
  absl::StatusOr<const GgufArray*> array(std::string_view key) const;  // null when absent
};

// Checks everything that can be checked without reading tensor data: every count against the bytes
// left, alignment, tensors inside the file and apart from each other.
absl::StatusOr<GgufFile> parse_gguf(std::span<const std::byte> file);

// The header's values for people: long arrays as "[128256 strings]".
Json gguf_metadata(const GgufFile& file);

// ggml's number of a format, and back. nullopt: GGUF has no such format, or brisk does not read it.
std::optional<uint32_t> ggml_type(DType dtype);
std::optional<DType> dtype_of_ggml_type(uint32_t type);

// The number that brisk gives to packed matrices in compiled files, and back. Other engines refuse
// it, as they should.
uint32_t ggml_type(Packing packing);
std::optional<Packing> packing_of_ggml_type(uint32_t type);

}  // namespace brisk
