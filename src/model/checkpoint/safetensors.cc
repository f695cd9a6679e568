#include "model/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "model/checkpoint/byte_cursor.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

constexpr size_t kExtentsMax = 8;

constexpr std::array<std::pair<std::string_view, DType>, 11> kTypes = {{
    {"F32", DType::kF32},
    {"F16", DType::kF16},
    {"BF16", DType::kBF16},
    {"F64", DType::kF64},
    {"I8", DType::kI8},
    {"I16", DType::kI16},
    {"I32", DType::kI32},
    {"I64", DType::kI64},
    {"U8", DType::kI8},
    {"BOOL", DType::kI8},
    {"F8_E4M3", DType::kF8E4M3},
}};

// A tensor of the header before its bytes are looked at.
struct Row {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;
};

std::optional<uint64_t> as_size(const Json& json) {
  if (!json.is_number_unsigned()) return std::nullopt;
  return json.get<uint64_t>();
}

absl::StatusOr<DType> dtype_of(const std::string& name, const Json& json) {
  if (!json.is_string()) return invalid_input("tensor \"{}\" has no dtype", name);
  const std::string& text = json.get_ref<const std::string&>();
  for (const auto& [known, dtype] : kTypes) {
    if (known == text) return dtype;
  }
  return unsupported("tensor \"{}\" has the dtype {}, which brisk does not read", name, text);
}

absl::StatusOr<std::vector<int64_t>> shape_of(const std::string& name, const Json& json) {
  if (!json.is_array() || json.size() > kExtentsMax) {
    return invalid_input("tensor \"{}\" has no shape of up to {} dimensions", name, kExtentsMax);
  }
  std::vector<int64_t> shape;
  for (const Json& extent : json) {
    const std::optional<uint64_t> size = as_size(extent);
    if (!size.has_value() || *size > uint64_t{std::numeric_limits<int64_t>::max()}) {
      return invalid_input("tensor \"{}\" has an impossible shape", name);
    }
    shape.push_back(static_cast<int64_t>(*size));
  }
  return shape;
}

absl::StatusOr<Row> read_row(const std::string& name, const Json& json) {
  Row row;
  row.name = name;
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets")) {
    return invalid_input("tensor \"{}\" should have dtype, shape and data_offsets", name);
  }
  BRISK_ASSIGN_OR_RETURN(row.dtype, dtype_of(name, json["dtype"]));
  BRISK_ASSIGN_OR_RETURN(row.shape, shape_of(name, json["shape"]));
  const Json& offsets = json["data_offsets"];
  std::optional<uint64_t> begin, end;
  if (offsets.is_array() && offsets.size() == 2) {
    begin = as_size(offsets[0]);
    end = as_size(offsets[1]);
  }
  if (!begin.has_value() || !end.has_value() || *end < *begin) {
    return invalid_input("tensor \"{}\" has impossible data_offsets", name);
  }
  row.begin = *begin;
  row.end = *end;
  return row;
}

bool is_empty(const Row& row) {
  return std::find(row.shape.begin(), row.shape.end(), 0) != row.shape.end();
}

absl::Status check_size(const Row& row) {
  uint64_t expected = 0;
  if (!is_empty(row)) {
    BRISK_ASSIGN_OR_RETURN(expected, bytes_of_shape(row.name, row.dtype, row.shape));
  }
  if (row.end - row.begin == expected) return absl::OkStatus();
  return invalid_input("tensor \"{}\" of shape {} needs {} bytes, but its data_offsets span {}",
                       row.name, shape_text(row.shape), expected, row.end - row.begin);
}

// REQUIRES: rows are sorted by their offsets.
absl::Status check_coverage(const std::vector<Row>& rows, uint64_t data_bytes) {
  uint64_t at = 0;
  for (const Row& row : rows) {
    if (row.begin < at) {
      return invalid_input("tensor \"{}\" overlaps the one before it in the file", row.name);
    }
    if (row.begin > at) {
      return invalid_input("there is a gap of {} bytes before tensor \"{}\"", row.begin - at,
                           row.name);
    }
    at = row.end;
  }
  if (at == data_bytes) return absl::OkStatus();
  return invalid_input(
      "the tensors take {} bytes, but the file has {}: it is damaged or not completely downloaded",
      at, data_bytes);
}

absl::Status read_metadata(const Json& json, Json& metadata) {
  if (!json.is_object()) return invalid_input("__metadata__ should be an object of strings");
  for (const Json& value : json) {
    if (!value.is_string()) return invalid_input("__metadata__ should be an object of strings");
  }
  metadata = json;
  return absl::OkStatus();
}

}  // namespace

bool is_safetensors(std::span<const std::byte> file) {
  ByteCursor cursor(file);
  uint64_t header_bytes = 0;
  char first = 0;
  return cursor.read(&header_bytes) && header_bytes >= 2 &&
         header_bytes <= kSafetensorsHeaderLimits.bytes_max && header_bytes <= cursor.remaining() &&
         cursor.read(&first) && first == '{';
}

absl::StatusOr<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes) {
  if (!is_safetensors(bytes)) {
    return invalid_input(
        "not a safetensors file, or it ends inside its header (damaged or not completely "
        "downloaded)");
  }
  ByteCursor cursor(bytes);
  uint64_t header_bytes = 0;
  std::span<const std::byte> header, data;
  if (!cursor.read(&header_bytes) || !cursor.take(header_bytes, &header) ||
      !cursor.take(cursor.remaining(), &data)) {
    return invalid_input("the file ends inside its header");
  }
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  auto json = parse_json(text, kSafetensorsHeaderLimits);
  if (!json.ok()) return annotate(json.status(), "the safetensors header");

  SafetensorsFile file;
  std::vector<Row> rows;
  for (const auto& [name, value] : json->items()) {
    if (name == "__metadata__") {
      BRISK_RETURN_IF_ERROR(read_metadata(value, file.metadata));
      continue;
    }
    BRISK_ASSIGN_OR_RETURN(Row row, read_row(name, value));
    BRISK_RETURN_IF_ERROR(check_size(row));
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  BRISK_RETURN_IF_ERROR(check_coverage(rows, data.size()));
  for (Row& row : rows) {
    if (is_empty(row)) continue;
    Tensor tensor;
    tensor.dtype = row.dtype;
    tensor.shape = std::move(row.shape);
    tensor.data =
        data.subspan(static_cast<size_t>(row.begin), static_cast<size_t>(row.end - row.begin));
    file.tensors.push_back({std::move(row.name), std::move(tensor)});
  }
  return file;
}

std::optional<std::string_view> safetensors_dtype(DType dtype) {
  for (const auto& [name, known] : kTypes) {
    if (known == dtype) return name;
  }
  return std::nullopt;
}

}  // namespace brisk
