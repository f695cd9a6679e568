#include "model/checkpoint/quality_report.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "base/units.h"
#include "compute/sys/file_writer.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/checkpoint/safetensors.h"

namespace brisk {
namespace {

absl::Status rewrite_gguf(const std::string& path, std::span<const std::byte> bytes,
                          std::string_view report) {
  BRISK_ASSIGN_OR_RETURN(const GgufFile file, parse_gguf(bytes));
  // Copied alone, a part would no longer say that it is one.
  BRISK_ASSIGN_OR_RETURN(const auto parts, file.integer("split.count"));
  if (parts.value_or(1) > 1) {
    return unsupported(
        "a model in {} parts carries no report; write it as one file first: brisk convert", *parts);
  }
  GgufHeader header;
  header.copy(file, kQualityReportKey);
  header.text(kQualityReportKey, report);
  std::vector<TensorPlan> plans;
  for (const GgufTensor& tensor : file.tensors) {
    plans.push_back({.name = std::string(tensor.name),
                     .dtype = tensor.dtype,
                     .shape = tensor.shape,
                     .packing = tensor.packing});
  }
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_gguf(path, header, plans));
  for (const GgufTensor& tensor : file.tensors) BRISK_RETURN_IF_ERROR(writer.append(tensor.data));
  return writer.finish();
}

// Offsets of tensors count from the end of the header, so that it alone changes.
absl::Status rewrite_safetensors(const std::string& path, std::span<const std::byte> bytes,
                                 std::string_view report) {
  BRISK_RETURN_IF_ERROR(parse_safetensors(bytes).status());
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const auto* begin = reinterpret_cast<const char*>(bytes.data()) + sizeof length;
  BRISK_ASSIGN_OR_RETURN(
      Json header, parse_json({begin, static_cast<size_t>(length)}, kSafetensorsHeaderLimits));
  header["__metadata__"][kQualityReportKey] = report;
  std::string text = to_text(header);
  text.resize(round_up<size_t>(text.size(), sizeof length), ' ');
  if (text.size() > kSafetensorsHeaderLimits.bytes_max) {
    return exhausted("the header has no room for a report of {} bytes", report.size());
  }
  const uint64_t text_length = text.size();
  BRISK_ASSIGN_OR_RETURN(FileWriter file, FileWriter::create(path));
  BRISK_RETURN_IF_ERROR(file.append(std::as_bytes(std::span(&text_length, 1))));
  BRISK_RETURN_IF_ERROR(file.append(text));
  BRISK_RETURN_IF_ERROR(file.append(bytes.subspan(sizeof length + static_cast<size_t>(length))));
  return file.finish();
}

// The file of a model that carries its report.
std::string carrier_of(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return path;
  const std::string single = (fs::path(path) / "model.safetensors").string();
  if (fs::exists(single, error)) return single;
  std::vector<std::string> shards;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_shard = name.starts_with("model-") && name.ends_with(".safetensors");
    if (is_shard) shards.push_back(entry.path().string());
  }
  return shards.empty() ? single : *std::ranges::min_element(shards);
}

}  // namespace

std::string_view quality_report_of(const Checkpoint& checkpoint) {
  const bool is_gguf = checkpoint.config.layout == Layout::kGguf;
  const Json* metadata = &checkpoint.metadata;
  if (!is_gguf) {
    if (!metadata->contains("safetensors")) return {};
    metadata = &(*metadata)["safetensors"];
  }
  const auto found = metadata->find(kQualityReportKey);
  if (found == metadata->end()) return {};
  const auto* text = found->get_ptr<const std::string*>();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

void drop_quality_report(Checkpoint& checkpoint) {
  Json& metadata = checkpoint.metadata;
  if (metadata.is_object()) metadata.erase(kQualityReportKey);
  if (metadata.contains("safetensors")) metadata["safetensors"].erase(kQualityReportKey);
}

absl::Status attach_quality_report(const std::string& path, std::string_view report) {
  const std::string file = carrier_of(path);
  BRISK_ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::open(file));
  if (mapped.text().starts_with("GGUF")) {
    return annotate(rewrite_gguf(file, mapped.bytes(), report), file);
  }
  if (is_safetensors(mapped.bytes())) {
    return annotate(rewrite_safetensors(file, mapped.bytes(), report), file);
  }
  return invalid_input("{}: only GGUF and safetensors files can carry a report", file);
}

}  // namespace brisk
