#include "model/checkpoint/safetensors_writer.h"

#include <optional>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {

absl::StatusOr<TensorFileWriter> create_safetensors(
    const std::string& path, const std::vector<TensorPlan>& tensors,
    const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  header["__metadata__"] = metadata;
  header["__metadata__"]["format"] = "pt";
  std::vector<uint64_t> sizes;
  uint64_t offset = 0;
  for (const TensorPlan& tensor : tensors) {
    const std::optional<std::string_view> dtype = safetensors_dtype(tensor.dtype);
    if (!dtype.has_value()) {
      return invalid_input("tensor \"{}\": safetensors has no format {}", tensor.name,
                           format_of(tensor.dtype).name);
    }
    if (header.contains(tensor.name)) {
      return invalid_input("tensor \"{}\" appears twice", tensor.name);
    }
    BRISK_ASSIGN_OR_RETURN(const uint64_t bytes,
                           bytes_of_shape(tensor.name, tensor.dtype, tensor.shape));
    header[tensor.name] = {
        {"dtype", *dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    sizes.push_back(bytes);
    offset += bytes;
  }
  std::string text = to_text(header);
  text.resize(round_up<size_t>(text.size(), 8), ' ');
  const uint64_t length = text.size();
  BRISK_ASSIGN_OR_RETURN(FileWriter file, FileWriter::create(path));
  BRISK_RETURN_IF_ERROR(file.append(std::as_bytes(std::span(&length, 1))));
  BRISK_RETURN_IF_ERROR(file.append(text));
  return TensorFileWriter(std::move(file), std::move(sizes), 1);
}

}  // namespace brisk
