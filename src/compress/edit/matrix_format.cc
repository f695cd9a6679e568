#include "compress/edit/matrix_format.h"

#include <string>

#include "base/status.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

int64_t values_of_shape(const std::vector<int64_t>& shape) {
  int64_t values = 1;
  for (const int64_t extent : shape) values *= extent;
  return values;
}

}  // namespace

std::string_view MatrixFormat::name() const {
  return scheme.has_value() ? name_of(*scheme) : format_of(dtype).name;
}

double MatrixFormat::bits(int64_t depth) const {
  if (scheme.has_value()) return bits_per_weight(*scheme, depth);
  return 8.0 * format_of(dtype).block_bytes / format_of(dtype).block_values;
}

size_t MatrixFormat::bytes(const std::vector<int64_t>& shape) const {
  const int64_t values = values_of_shape(shape);
  if (!scheme.has_value()) return static_cast<size_t>(bytes_of(dtype, values));
  return static_cast<size_t>(scaled_bytes(*scheme, values / shape.back(), shape.back()));
}

Tensor MatrixFormat::tensor(std::vector<int64_t> shape, std::span<const std::byte> memory) const {
  if (!scheme.has_value()) return {.dtype = dtype, .shape = std::move(shape), .data = memory};
  const int64_t inputs = shape.back();
  Tensor tensor = scaled_tensor(*scheme, values_of_shape(shape) / inputs, inputs, memory);
  tensor.shape = std::move(shape);
  return tensor;
}

Json to_json(const MatrixFormat& format) {
  Json json = {{"name", format.name()}};
  if (format.scheme.has_value()) json["scales"] = format_of(format.scheme->scale_dtype).name;
  return json;
}

absl::StatusOr<MatrixFormat> matrix_format_from_json(const Json& json) {
  const auto text = [&json](const char* key) {
    const bool is_text = json.is_object() && json.contains(key) && json[key].is_string();
    return is_text ? json[key].get<std::string>() : std::string();
  };
  const std::string name = text("name");
  if (auto scheme = scaled_scheme(name)) {
    scheme->scale_dtype = text("scales") == "f16" ? DType::kF16 : DType::kBF16;
    return MatrixFormat{.dtype = DType::kScaled, .scheme = scheme};
  }
  const auto dtype = dtype_from_name(name);
  if (!dtype.has_value() || format_of(*dtype).decode == nullptr) {
    return invalid_input("there is no format \"{}\"", name.substr(0, 80));
  }
  return MatrixFormat{.dtype = *dtype};
}

}  // namespace brisk
