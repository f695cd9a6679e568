#include "model/checkpoint/gguf.h"

#include <array>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"
#include "model/checkpoint/byte_cursor.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

constexpr uint64_t kPairBytesMin = 8 + 4 + 1;            // empty key, type, one byte
constexpr uint64_t kTensorBytesMin = 8 + 4 + 8 + 4 + 8;  // empty name, one extent
constexpr int64_t kAlignmentMax = 1 << 20;
constexpr int kNestingMax = 4;
constexpr uint32_t kExtentsMax = 4;

constexpr std::array<std::pair<uint32_t, DType>, 21> kGgmlTypes = {{
    {0, DType::kF32},     {1, DType::kF16},   {2, DType::kQ4_0},  {3, DType::kQ4_1},
    {6, DType::kQ5_0},    {7, DType::kQ5_1},  {8, DType::kQ8_0},  {10, DType::kQ2_K},
    {11, DType::kQ3_K},   {12, DType::kQ4_K}, {13, DType::kQ5_K}, {14, DType::kQ6_K},
    {20, DType::kIQ4_NL}, {24, DType::kI8},   {25, DType::kI16},  {26, DType::kI32},
    {27, DType::kI64},    {28, DType::kF64},  {30, DType::kBF16}, {35, DType::kTQ2_0},
    {39, DType::kMXFP4},
}};

// Bytes of one number of `type`; 0 for strings, arrays and what is no type at all.
int width_of(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

template <class T>
T load(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

absl::Status truncated(const ByteCursor& cursor, std::string_view what) {
  return invalid_input(
      "the file ends inside its {} (at byte {}): it is damaged or not completely downloaded", what,
      cursor.position() + cursor.remaining());
}

absl::StatusOr<GgufValue> scalar(GgufType type, std::span<const std::byte> raw) {
  switch (type) {
    case GgufType::kU8:
      return int64_t{load<uint8_t>(raw)};
    case GgufType::kI8:
      return int64_t{load<int8_t>(raw)};
    case GgufType::kU16:
      return int64_t{load<uint16_t>(raw)};
    case GgufType::kI16:
      return int64_t{load<int16_t>(raw)};
    case GgufType::kU32:
      return int64_t{load<uint32_t>(raw)};
    case GgufType::kI32:
      return int64_t{load<int32_t>(raw)};
    case GgufType::kI64:
      return load<int64_t>(raw);
    case GgufType::kU64: {
      const uint64_t value = load<uint64_t>(raw);
      if (value > uint64_t{std::numeric_limits<int64_t>::max()}) {
        return invalid_input("the number {} is out of range", value);
      }
      return static_cast<int64_t>(value);
    }
    case GgufType::kF32:
      return double{load<float>(raw)};
    case GgufType::kF64:
      return load<double>(raw);
    case GgufType::kBool: {
      const uint8_t value = load<uint8_t>(raw);
      if (value > 1) return invalid_input("a boolean has the value {}", value);
      return value == 1;
    }
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return invalid_input("the value type {} does not exist", static_cast<uint32_t>(type));
}

absl::StatusOr<GgufArray> read_array(ByteCursor& cursor, int depth) {
  GgufArray array;
  if (!cursor.read(&array.type) || !cursor.read(&array.count)) return truncated(cursor, "header");
  if (array.type == GgufType::kString) {
    if (array.count > cursor.remaining() / 8) return truncated(cursor, "header");
    array.strings.resize(static_cast<size_t>(array.count));
    for (std::string_view& text : array.strings) {
      if (!cursor.read_string(&text)) return truncated(cursor, "header");
    }
    return array;
  }
  if (array.type == GgufType::kArray) {
    if (depth == kNestingMax) return invalid_input("arrays nested deeper than {}", kNestingMax);
    if (array.count > cursor.remaining() / 12) return truncated(cursor, "header");
    for (uint64_t i = 0; i < array.count; ++i) {
      BRISK_RETURN_IF_ERROR(read_array(cursor, depth + 1).status());
    }
    return array;
  }
  const int width = width_of(array.type);
  if (width == 0) {
    return invalid_input("the value type {} does not exist", static_cast<uint32_t>(array.type));
  }
  const uint64_t bytes_each = static_cast<uint64_t>(width);
  if (array.count > cursor.remaining() / bytes_each ||
      !cursor.take(array.count * bytes_each, &array.numbers)) {
    return truncated(cursor, "header");
  }
  return array;
}

absl::StatusOr<GgufValue> read_value(ByteCursor& cursor) {
  GgufType type = GgufType::kU8;
  if (!cursor.read(&type)) return truncated(cursor, "header");
  if (type == GgufType::kArray) {
    BRISK_ASSIGN_OR_RETURN(GgufArray array, read_array(cursor, 1));
    return GgufValue(std::move(array));
  }
  if (type == GgufType::kString) {
    std::string_view text;
    if (!cursor.read_string(&text)) return truncated(cursor, "header");
    return text;
  }
  std::span<const std::byte> raw;
  if (!cursor.take(static_cast<uint64_t>(width_of(type)), &raw)) return truncated(cursor, "header");
  return scalar(type, raw);
}

absl::Status read_values(ByteCursor& cursor, uint64_t count, GgufFile& file) {
  if (count > cursor.remaining() / kPairBytesMin) return truncated(cursor, "header");
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view key;
    if (!cursor.read_string(&key)) return truncated(cursor, "header");
    auto value = read_value(cursor);
    if (!value.ok()) return annotate(value.status(), fmt::format("metadata key \"{}\"", key));
    if (!file.index.emplace(std::string(key), file.values.size()).second) {
      return invalid_input("metadata key \"{}\" appears twice", key);
    }
    file.values.emplace_back(key, std::move(*value));
  }
  return absl::OkStatus();
}

struct TensorPlace {
  uint64_t offset = 0;  // from the start of the data section
  uint64_t bytes = 0;
};

absl::Status read_tensor_row(ByteCursor& cursor, GgufTensor& tensor, TensorPlace& place) {
  uint32_t extents = 0, type = 0;
  if (!cursor.read_string(&tensor.name) || !cursor.read(&extents)) {
    return truncated(cursor, "tensor table");
  }
  if (extents == 0 || extents > kExtentsMax) {
    return invalid_input("tensor \"{}\" has {} dimensions; 1 to {} are possible", tensor.name,
                         extents, kExtentsMax);
  }
  tensor.shape.resize(extents);
  for (uint32_t i = 0; i < extents; ++i) {
    if (!cursor.read(&tensor.shape[extents - 1 - i])) return truncated(cursor, "tensor table");
  }
  if (!cursor.read(&type) || !cursor.read(&place.offset)) return truncated(cursor, "tensor table");
  tensor.packing = packing_of_ggml_type(type);
  if (tensor.packing.has_value()) {
    tensor.dtype = dtype_of(*tensor.packing);
    BRISK_ASSIGN_OR_RETURN(place.bytes,
                           bytes_of_packed(tensor.name, *tensor.packing, tensor.shape));
    return absl::OkStatus();
  }
  const std::optional<DType> dtype = dtype_of_ggml_type(type);
  if (!dtype.has_value()) {
    return unsupported(
        "tensor \"{}\" has ggml format number {}, which brisk does not read; choose a file with "
        "another quantisation",
        tensor.name, type);
  }
  tensor.dtype = *dtype;
  BRISK_ASSIGN_OR_RETURN(place.bytes, bytes_of_shape(tensor.name, *dtype, tensor.shape));
  return absl::OkStatus();
}

// Turns offsets into views, once it is known where the data section begins.
absl::Status place_tensors(std::span<const std::byte> bytes, uint64_t header_bytes,
                           uint64_t alignment, const std::vector<TensorPlace>& places,
                           GgufFile& file) {
  const uint64_t begin = (header_bytes + alignment - 1) / alignment * alignment;
  const uint64_t data_bytes = begin < bytes.size() ? bytes.size() - begin : 0;
  std::vector<TensorExtent> extents;
  for (size_t i = 0; i < places.size(); ++i) {
    GgufTensor& tensor = file.tensors[i];
    const auto [offset, size] = places[i];
    if (offset % alignment != 0) {
      return invalid_input("tensor \"{}\" begins at {}, which is not a multiple of {}", tensor.name,
                           offset, alignment);
    }
    if (offset > data_bytes || size > data_bytes - offset) {
      return invalid_input(
          "tensor \"{}\" needs {} bytes at {}, but the file has {} bytes of tensor data: it is "
          "damaged or not completely downloaded",
          tensor.name, size, offset, data_bytes);
    }
    tensor.data = bytes.subspan(static_cast<size_t>(begin + offset), static_cast<size_t>(size));
    extents.push_back({.begin = offset, .end = offset + size, .name = tensor.name});
  }
  return check_no_overlap(std::move(extents));
}

absl::StatusOr<uint64_t> alignment_of(const GgufFile& file) {
  BRISK_ASSIGN_OR_RETURN(const auto value, file.integer("general.alignment"));
  if (!value.has_value()) return 32;
  if (*value < 1 || *value > kAlignmentMax || !std::has_single_bit(static_cast<uint64_t>(*value))) {
    return invalid_input("general.alignment is {}; it must be a power of two up to {}", *value,
                         kAlignmentMax);
  }
  return static_cast<uint64_t>(*value);
}

absl::Status check_version(uint32_t version) {
  if (version == 2 || version == 3) return absl::OkStatus();
  if (version == 0x02000000 || version == 0x03000000) {
    return unsupported("this GGUF file is big-endian; brisk reads little-endian ones");
  }
  return unsupported("GGUF version {}; brisk reads versions 2 and 3 (convert the file again)",
                     version);
}

std::string_view type_name(GgufType type) {
  switch (type) {
    case GgufType::kString:
      return "strings";
    case GgufType::kArray:
      return "arrays";
    case GgufType::kBool:
      return "booleans";
    case GgufType::kF32:
    case GgufType::kF64:
      return "floats";
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64:
      return "integers";
  }
  return "values";
}

Json array_json(const GgufArray& array) {
  constexpr uint64_t kShown = 16;
  if (array.count > kShown || array.type == GgufType::kArray) {
    return fmt::format("[{} {}]", array.count, type_name(array.type));
  }
  Json json = Json::array();
  for (const std::string_view text : array.strings) json.push_back(text);
  if (array.type == GgufType::kString) return json;
  const bool whole = array.type != GgufType::kF32 && array.type != GgufType::kF64;
  for (uint64_t i = 0; i < array.count; ++i) {
    const double value = array.number(i);
    json.push_back(whole ? Json(static_cast<int64_t>(value)) : Json(value));
  }
  return json;
}

// The value when it is a T, nullopt when the key is absent.
template <class T>
absl::StatusOr<std::optional<T>> typed(const GgufFile& file, std::string_view key,
                                       std::string_view wanted) {
  const GgufValue* value = file.find(key);
  if (value == nullptr) return std::nullopt;
  if (const T* held = std::get_if<T>(value)) return *held;
  return invalid_input("metadata key \"{}\" should hold {}", key, wanted);
}

}  // namespace

double GgufArray::number(uint64_t i) const {
  const auto width = static_cast<size_t>(width_of(type));
  const auto raw = numbers.subspan(static_cast<size_t>(i) * width, width);
  switch (type) {
    case GgufType::kU8:
    case GgufType::kBool:
      return load<uint8_t>(raw);
    case GgufType::kI8:
      return load<int8_t>(raw);
    case GgufType::kU16:
      return load<uint16_t>(raw);
    case GgufType::kI16:
      return load<int16_t>(raw);
    case GgufType::kU32:
      return load<uint32_t>(raw);
    case GgufType::kI32:
      return load<int32_t>(raw);
    case GgufType::kF32:
      return double{load<float>(raw)};
    case GgufType::kU64:
      return static_cast<double>(load<uint64_t>(raw));
    case GgufType::kI64:
      return static_cast<double>(load<int64_t>(raw));
    case GgufType::kF64:
      return load<double>(raw);
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return 0;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto it = index.find(absl::string_view(key.data(), key.size()));
  return it == index.end() ? nullptr : &values[it->second].second;
}

absl::StatusOr<std::optional<int64_t>> GgufFile::integer(std::string_view key) const {
  return typed<int64_t>(*this, key, "an integer");
}

absl::StatusOr<std::optional<double>> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const int64_t* whole = std::get_if<int64_t>(value)) return static_cast<double>(*whole);
  return typed<double>(*this, key, "a number");
}

absl::StatusOr<std::optional<bool>> GgufFile::boolean(std::string_view key) const {
  return typed<bool>(*this, key, "a boolean");
}

absl::StatusOr<std::optional<std::string_view>> GgufFile::string(std::string_view key) const {
  return typed<std::string_view>(*this, key, "a string");
}

absl::StatusOr<const GgufArray*> GgufFile::array(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (const GgufArray* held = std::get_if<GgufArray>(value)) return held;
  return invalid_input("metadata key \"{}\" should hold an array", key);
}

absl::StatusOr<GgufFile> parse_gguf(std::span<const std::byte> bytes) {
  ByteCursor cursor(bytes);
  GgufFile file;
  std::span<const std::byte> magic;
  if (!cursor.take(4, &magic) || std::memcmp(magic.data(), "GGUF", 4) != 0) {
    return invalid_input("not a GGUF file");
  }
  uint64_t tensor_count = 0, pair_count = 0;
  if (!cursor.read(&file.version)) return truncated(cursor, "header");
  BRISK_RETURN_IF_ERROR(check_version(file.version));
  if (!cursor.read(&tensor_count) || !cursor.read(&pair_count)) return truncated(cursor, "header");
  const uint64_t pairs_begin = cursor.position();
  BRISK_RETURN_IF_ERROR(read_values(cursor, pair_count, file));
  file.pairs = {reinterpret_cast<const char*>(bytes.data()) + pairs_begin,
                static_cast<size_t>(cursor.position() - pairs_begin)};
  BRISK_ASSIGN_OR_RETURN(const uint64_t alignment, alignment_of(file));
  if (tensor_count > cursor.remaining() / kTensorBytesMin) return truncated(cursor, "tensor table");
  file.tensors.resize(static_cast<size_t>(tensor_count));
  std::vector<TensorPlace> places(file.tensors.size());
  for (size_t i = 0; i < places.size(); ++i) {
    BRISK_RETURN_IF_ERROR(read_tensor_row(cursor, file.tensors[i], places[i]));
  }
  BRISK_RETURN_IF_ERROR(place_tensors(bytes, cursor.position(), alignment, places, file));
  return file;
}

Json gguf_metadata(const GgufFile& file) {
  Json json = Json::object();
  for (const auto& [key, value] : file.values) {
    json[std::string(key)] = std::visit(
        [](const auto& held) -> Json {
          if constexpr (std::is_same_v<std::decay_t<decltype(held)>, GgufArray>) {
            return array_json(held);
          } else {
            return held;
          }
        },
        value);
  }
  return json;
}

std::optional<uint32_t> ggml_type(DType dtype) {
  for (const auto& [number, candidate] : kGgmlTypes) {
    if (candidate == dtype) return number;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of_ggml_type(uint32_t type) {
  for (const auto& [number, dtype] : kGgmlTypes) {
    if (number == type) return dtype;
  }
  return std::nullopt;
}

// Far from ggml's own numbers; the last digits count changes of the layout.
constexpr uint32_t kFirstPanelType = 0x62720100, kFirstTileType = 0x62720200;

uint32_t ggml_type(Packing packing) {
  const auto* panels = std::get_if<PanelFormat>(&packing);
  return panels != nullptr ? kFirstPanelType + static_cast<uint32_t>(*panels)
                           : kFirstTileType + static_cast<uint32_t>(std::get<TileFormat>(packing));
}

std::optional<Packing> packing_of_ggml_type(uint32_t type) {
  if (type >= kFirstPanelType && type < kFirstPanelType + kPanelFormatCount) {
    return static_cast<PanelFormat>(type - kFirstPanelType);
  }
  if (type >= kFirstTileType && type < kFirstTileType + kTileFormatCount) {
    return static_cast<TileFormat>(type - kFirstTileType);
  }
  return std::nullopt;
}

}  // namespace brisk
