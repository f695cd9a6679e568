#include "model/convert/compile.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "compute/kernels/cpu/dispatch.h"
#include "compute/quant/packing.h"
#include "compute/sys/mapped_file.h"
#include "compute/sys/thread_team.h"
#include "model/arch/architecture.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/choose_sparse.h"
#include "model/convert/tensors.h"
#include "model/low_rank.h"

namespace brisk {
namespace {

// One cache line: registers of 64 bytes are loaded from one.
constexpr uint32_t kAlignment = 64;
// Panels that are packed before they are written.
constexpr int64_t kPanelsPerWrite = 256;

// Which matrices must stay in rows: those that are looked up by row, fused ones whose parts do not
// begin with a panel of `outputs` rows, and, in floats, what chooses experts.
std::set<std::string> names_kept(const Checkpoint& checkpoint, const TensorNames& names,
                                 const ModelSpec& spec, int64_t outputs) {
  std::set<std::string> kept = {names.embedding, names.positions};
  const auto keep = [&](const std::string& pattern, bool aligned) {
    if (pattern.empty() || aligned) return;
    for (size_t i = 0; i < spec.layers.size(); ++i) {
      const std::string name = with_number(pattern, static_cast<int64_t>(i));
      kept.insert(name);
      kept.insert(factor_name(name, Factor::kB));  // whose rows are the same
    }
  };
  const int64_t kv_rows = int64_t{spec.kv_heads} * spec.head_dim;
  const int64_t q_rows = int64_t{spec.heads} * spec.head_dim;
  keep(names.qkv, q_rows % outputs == 0 && kv_rows % outputs == 0);
  keep(names.gate_up, spec.ffn_size % outputs == 0);
  for (const std::string& pattern : {names.router, names.shared_expert_gate}) {
    if (pattern.empty()) continue;
    for (size_t i = 0; i < spec.layers.size(); ++i) {
      const std::string name = with_number(pattern, static_cast<int64_t>(i));
      const NamedTensor* found = checkpoint.find_weight(name);
      if (found != nullptr && is_float(found->tensor.dtype)) kept.insert(name);
    }
  }
  return kept;
}

struct Entry {
  TensorPlan plan;
  const Tensor* source = nullptr;
  bool sparse = false;
};

Entry packed(std::string name, const Tensor& source, Packing packing) {
  return {.plan = {.name = std::move(name),
                   .dtype = dtype_of(packing),
                   .shape = source.shape,
                   .packing = packing},
          .source = &source};
}

// The kernels that will run the file, and when they would take a matrix as sparse.
struct Machine {
  const KernelTable* kernels;
  SparseChoice sparse;

  // A matrix that runs sparse is better packed when it is loaded.
  bool runs_sparse(const Tensor& matrix) const {
    return choose_sparse(matrix, *kernels, sparse).has_value();
  }
  std::optional<Packing> packing_for(const Tensor& tensor) const {
    const bool is_stack = tensor.shape.size() == 3;
    if (tensor.shape.size() != 2 && !is_stack) return std::nullopt;
    const auto packing = brisk::packing_for(tensor, *kernels);
    if (!packing.has_value()) return std::nullopt;
    if (is_stack && tensor.shape[1] % panel_outputs(*packing) != 0) return std::nullopt;
    return packing;
  }
};

absl::StatusOr<Machine> machine_for(const CompileOptions& options) {
  Machine machine = {.kernels = options.kernels, .sparse = {}};
  if (machine.kernels == nullptr) {
    BRISK_ASSIGN_OR_RETURN(machine.kernels, kernels_from_environment());
  }
  BRISK_ASSIGN_OR_RETURN(machine.sparse, sparse_choice_from_environment());
  return machine;
}

std::vector<Entry> plan_entries(const Checkpoint& checkpoint, const TensorNames& names,
                                const std::set<std::string>& kept, const Machine& machine) {
  std::vector<Entry> entries;
  for (const NamedTensor& named : checkpoint.tensors) {
    const auto packing = machine.packing_for(named.tensor);
    const bool wanted = packing.has_value() && !kept.contains(named.name);
    const bool sparse = wanted && machine.runs_sparse(named.tensor);
    if (wanted && !sparse) {
      entries.push_back(packed(named.name, named.tensor, *packing));
      continue;
    }
    entries.push_back(
        {.plan = {.name = named.name, .dtype = named.tensor.dtype, .shape = named.tensor.shape},
         .source = &named.tensor,
         .sparse = sparse});
  }
  const Tensor* embedding = checkpoint.find(names.embedding);
  if (checkpoint.find(names.head) == nullptr && embedding != nullptr) {
    if (const auto packing = machine.packing_for(*embedding)) {
      entries.push_back(packed(names.head, *embedding, *packing));
    }
  }
  return entries;
}

absl::Status write_panels(const Entry& entry, ThreadTeam& team, TensorFileWriter& writer,
                          std::vector<std::byte>& buffer) {
  const Tensor& source = *entry.source;
  const Packing packing = *entry.plan.packing;
  const int64_t bytes = panel_bytes(packing, source.shape.back());
  const int64_t count = panel_count(packing, source);
  for (int64_t first = 0; first < count; first += kPanelsPerWrite) {
    const int64_t panels = std::min(kPanelsPerWrite, count - first);
    buffer.resize(static_cast<size_t>(panels * bytes));
    team.run([&](Worker worker) {
      const Range mine = worker.share(panels);
      pack(source, packing, {first + mine.begin, first + mine.end},
           buffer.data() + mine.begin * bytes);
    });
    BRISK_RETURN_IF_ERROR(writer.append(buffer));
  }
  return absl::OkStatus();
}

absl::Status check_source(const std::string& in, const std::string& out,
                          const Checkpoint& checkpoint) {
  std::error_code error;
  if (std::filesystem::equivalent(in, out, error)) {
    return invalid_input("{}: a file cannot be compiled onto itself", out);
  }
  const bool compiled =
      std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                  [](const NamedTensor& named) { return named.tensor.is_packed(); });
  return compiled ? invalid_input("{} is compiled already", in) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<CompileResult> compile_checkpoint(const std::string& in, const std::string& out,
                                                 const CompileOptions& options) {
  BRISK_ASSIGN_OR_RETURN(const auto checkpoint, open_checkpoint(in));
  BRISK_RETURN_IF_ERROR(check_source(in, out, *checkpoint));
  const auto mapped = MappedFile::open(in);  // checkpoints may be directories
  const auto file = mapped.ok() ? parse_gguf(mapped->bytes()) : mapped.status();
  if (!file.ok()) {
    return invalid_input("{}: only GGUF files are compiled; first: brisk convert {} NAME.gguf", in,
                         in);
  }
  auto architecture = find_architecture(checkpoint->config);
  if (!architecture.ok()) return annotate(architecture.status(), in);
  const TensorNames names = (*architecture)->names(checkpoint->config.layout);
  auto spec = (*architecture)->spec(*checkpoint, 0);
  if (!spec.ok()) return annotate(spec.status(), in);
  BRISK_ASSIGN_OR_RETURN(const Machine machine, machine_for(options));
  const int64_t outputs = machine.kernels->tiles != nullptr ? kTileOutputs : kPanelColumns;
  const std::vector<Entry> entries =
      plan_entries(*checkpoint, names, names_kept(*checkpoint, names, *spec, outputs), machine);

  GgufHeader header;
  header.copy(*file);
  header.align(kAlignment);
  std::vector<TensorPlan> plans;
  for (const Entry& entry : entries) plans.push_back(entry.plan);
  BRISK_ASSIGN_OR_RETURN(TensorFileWriter writer, create_gguf(out, header, plans));
  ThreadTeam team(options.threads > 0 ? options.threads : usable_threads());
  std::vector<std::byte> buffer;
  CompileResult result;
  size_t done = 0;
  for (const Entry& entry : entries) {
    if (entry.plan.packing.has_value()) {
      BRISK_RETURN_IF_ERROR(write_panels(entry, team, writer, buffer));
      ++result.packed;
    } else {
      BRISK_RETURN_IF_ERROR(writer.append(entry.source->data));
      ++result.kept;
      result.sparse += entry.sparse ? 1 : 0;
    }
    if (options.on_progress) options.on_progress(++done, entries.size());
  }
  BRISK_RETURN_IF_ERROR(writer.finish());
  result.bytes = writer.bytes_written();
  return result;
}

}  // namespace brisk
