#include "model/checkpoint/structure_importance.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include "base/status.h"
#include "compute/quant/format.h"
#include "compute/sys/mapped_file.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/safetensors_writer.h"

namespace brisk {
namespace {

struct Table {
  const char* name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

Table table_of(const char* name, const std::vector<double>& scores) {
  return {name, {std::ssize(scores)}, {scores.begin(), scores.end()}};
}

// REQUIRES: the rows are of one length.
Table table_of(const char* name, const std::vector<std::vector<double>>& rows) {
  Table table = {name, {std::ssize(rows), rows.empty() ? 0 : std::ssize(rows.front())}, {}};
  for (const std::vector<double>& row : rows) {
    table.values.insert(table.values.end(), row.begin(), row.end());
  }
  return table;
}

bool is_score(float value) { return std::isfinite(value) && value >= 0; }

absl::StatusOr<std::vector<double>> read_table(const SafetensorsFile& file, const char* name,
                                               const std::vector<int64_t>& shape) {
  const auto found = std::ranges::find(file.tensors, name,
                                       [](const SafetensorsTensor& each) { return each.name; });
  if (found == file.tensors.end()) {
    return invalid_input("there is no tensor \"{}\": `brisk-train importance` writes such files",
                         name);
  }
  const Tensor& tensor = found->tensor;
  if (tensor.dtype != DType::kF32 || tensor.shape != shape) {
    return invalid_input("\"{}\" is {} of {}, the model needs F32 of {}: take it of this model",
                         name, format_of(tensor.dtype).name, fmt::join(tensor.shape, " x "),
                         fmt::join(shape, " x "));
  }
  std::vector<float> values(static_cast<size_t>(tensor.values()));
  decode_values(tensor, 0, tensor.values(), values.data());
  if (!std::ranges::all_of(values, is_score)) {
    return invalid_input("\"{}\" holds a score that is negative or not a finite number", name);
  }
  return std::vector<double>(values.begin(), values.end());
}

std::vector<std::vector<double>> rows_of(const std::vector<double>& values, int64_t width) {
  std::vector<std::vector<double>> rows;
  for (auto at = values.begin(); at != values.end(); at += width) rows.emplace_back(at, at + width);
  return rows;
}

absl::StatusOr<StructureImportance> parse(const SafetensorsFile& file, const ModelSpec& spec) {
  const auto layers = std::ssize(spec.layers);
  StructureImportance importance;
  BRISK_ASSIGN_OR_RETURN(const std::vector<double> neurons,
                         read_table(file, "neurons", {layers, spec.ffn_size}));
  BRISK_ASSIGN_OR_RETURN(const std::vector<double> heads,
                         read_table(file, "kv_heads", {layers, spec.kv_heads}));
  BRISK_ASSIGN_OR_RETURN(importance.channels, read_table(file, "channels", {spec.hidden_size}));
  BRISK_ASSIGN_OR_RETURN(importance.layers, read_table(file, "layers", {layers}));
  importance.neurons = rows_of(neurons, spec.ffn_size);
  importance.kv_heads = rows_of(heads, spec.kv_heads);
  return importance;
}

}  // namespace

absl::Status write_structure_importance(const std::string& path,
                                        const StructureImportance& importance) {
  const Table tables[] = {
      table_of("neurons", importance.neurons), table_of("kv_heads", importance.kv_heads),
      table_of("channels", importance.channels), table_of("layers", importance.layers)};
  std::vector<TensorPlan> plans;
  for (const Table& table : tables) {
    if (!std::ranges::all_of(table.values, is_score)) {
      return invalid_input("the importance of {} is not a number: look for broken weights or data",
                           table.name);
    }
    plans.push_back({table.name, DType::kF32, table.shape});
  }
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_safetensors(path, plans));
  for (const Table& table : tables) {
    BRISK_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(table.values))));
  }
  return writer.finish();
}

absl::StatusOr<StructureImportance> read_structure_importance(const std::string& path,
                                                              const ModelSpec& spec) {
  BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const auto parsed = parse_safetensors(file.bytes());
  if (!parsed.ok()) return annotate(parsed.status(), path);
  auto importance = parse(*parsed, spec);
  if (!importance.ok()) return annotate(importance.status(), path);
  return importance;
}

}  // namespace brisk
