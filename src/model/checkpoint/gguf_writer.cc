#include "model/checkpoint/gguf_writer.h"

#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "compute/quant/format.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

constexpr size_t kExtentsMax = 4;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out.append(text);
}

void put_key(std::string& out, std::string_view key, GgufType type) {
  put_string(out, key);
  put(out, static_cast<uint32_t>(type));
}

void put_array(std::string& out, std::string_view key, GgufType type, uint64_t count) {
  put_key(out, key, GgufType::kArray);
  put(out, static_cast<uint32_t>(type));
  put(out, count);
}

absl::Status put_row(std::string& out, const TensorPlan& tensor, uint64_t offset) {
  const auto type =
      tensor.packing ? std::optional(ggml_type(*tensor.packing)) : ggml_type(tensor.dtype);
  if (!type.has_value()) {
    return invalid_input("tensor \"{}\": GGUF has no format {}", tensor.name,
                         format_of(tensor.dtype).name);
  }
  if (tensor.shape.empty() || tensor.shape.size() > kExtentsMax) {
    return invalid_input("tensor \"{}\" of shape {}: GGUF has 1 to {} dimensions", tensor.name,
                         shape_text(tensor.shape), kExtentsMax);
  }
  put_string(out, tensor.name);
  put(out, static_cast<uint32_t>(tensor.shape.size()));
  for (auto it = tensor.shape.rbegin(); it != tensor.shape.rend(); ++it) put<int64_t>(out, *it);
  put(out, *type);
  put(out, offset);
  return absl::OkStatus();
}

}  // namespace

void GgufHeader::text(std::string_view key, std::string_view value) {
  put_key(pairs_, key, GgufType::kString);
  put_string(pairs_, value);
  ++count_;
}

void GgufHeader::u32(std::string_view key, uint32_t value) {
  put_key(pairs_, key, GgufType::kU32);
  put(pairs_, value);
  ++count_;
}

void GgufHeader::f32(std::string_view key, float value) {
  put_key(pairs_, key, GgufType::kF32);
  put(pairs_, value);
  ++count_;
}

void GgufHeader::boolean(std::string_view key, bool value) {
  put_key(pairs_, key, GgufType::kBool);
  put<uint8_t>(pairs_, value ? 1 : 0);
  ++count_;
}

void GgufHeader::texts(std::string_view key, std::span<const std::string> values) {
  put_array(pairs_, key, GgufType::kString, values.size());
  for (const std::string& value : values) put_string(pairs_, value);
  ++count_;
}

void GgufHeader::floats(std::string_view key, std::span<const float> values) {
  put_array(pairs_, key, GgufType::kF32, values.size());
  for (const float value : values) put(pairs_, value);
  ++count_;
}

void GgufHeader::i32s(std::string_view key, std::span<const int32_t> values) {
  put_array(pairs_, key, GgufType::kI32, values.size());
  for (const int32_t value : values) put(pairs_, value);
  ++count_;
}

void GgufHeader::bytes(std::string_view key, std::string_view values) {
  put_array(pairs_, key, GgufType::kU8, values.size());
  pairs_.append(values);
  ++count_;
}

void GgufHeader::copy(const GgufFile& file, std::string_view except) {
  // A pair begins with the length of its key, 8 bytes, and ends where the next one begins.
  constexpr size_t kLengthBytes = 8;
  const auto begin_of = [&](size_t i) {
    if (i == file.values.size()) return file.pairs.size();
    return static_cast<size_t>(file.values[i].first.data() - file.pairs.data()) - kLengthBytes;
  };
  for (size_t i = 0; i < file.values.size(); ++i) {
    const auto& key = file.values[i].first;
    if (key == except || key.starts_with("split.")) continue;
    pairs_.append(file.pairs.substr(begin_of(i), begin_of(i + 1) - begin_of(i)));
    ++count_;
  }
  const auto alignment = file.integer("general.alignment");
  has_alignment_ = alignment.ok() && alignment->has_value();
  if (has_alignment_) alignment_ = static_cast<uint64_t>(**alignment);
}

void GgufHeader::align(uint32_t bytes) {
  if (has_alignment_) return;
  u32("general.alignment", bytes);
  alignment_ = bytes;
  has_alignment_ = true;
}

absl::StatusOr<TensorFileWriter> create_gguf(const std::string& path, const GgufHeader& header,
                                             const std::vector<TensorPlan>& tensors) {
  std::string head = "GGUF";
  put<uint32_t>(head, 3);
  put<uint64_t>(head, tensors.size());
  put(head, header.count_);
  head += header.pairs_;
  std::vector<uint64_t> sizes;
  uint64_t offset = 0;
  for (const TensorPlan& tensor : tensors) {
    BRISK_ASSIGN_OR_RETURN(const uint64_t bytes,
                           tensor.packing
                               ? bytes_of_packed(tensor.name, *tensor.packing, tensor.shape)
                               : bytes_of_shape(tensor.name, tensor.dtype, tensor.shape));
    BRISK_RETURN_IF_ERROR(put_row(head, tensor, offset));
    sizes.push_back(bytes);
    offset += round_up(bytes, header.alignment_);
  }
  head.resize(round_up<size_t>(head.size(), header.alignment_));
  BRISK_ASSIGN_OR_RETURN(FileWriter file, FileWriter::create(path));
  BRISK_RETURN_IF_ERROR(file.append(head));
  return TensorFileWriter(std::move(file), std::move(sizes), header.alignment_);
}

}  // namespace brisk
