// A Checkpoint from a GGUF file.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/split_name.h"
#include "base/status.h"
#include "model/checkpoint/gguf_model.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

// Recommended sampling settings that some converters store.
absl::Status read_generation(const GgufFile& file, GenerationDefaults& generation) {
  BRISK_ASSIGN_OR_RETURN(generation.temperature, file.number("general.sampling.temp"));
  BRISK_ASSIGN_OR_RETURN(generation.top_p, file.number("general.sampling.top_p"));
  BRISK_ASSIGN_OR_RETURN(generation.min_p, file.number("general.sampling.min_p"));
  BRISK_ASSIGN_OR_RETURN(const auto top_k, file.integer("general.sampling.top_k"));
  if (top_k.has_value() && *top_k >= 0 && *top_k <= std::numeric_limits<int>::max()) {
    generation.top_k = static_cast<int>(*top_k);
  }
  return absl::OkStatus();
}

absl::Status add_tensors(const GgufFile& file, Checkpoint& checkpoint) {
  for (const GgufTensor& found : file.tensors) {
    Tensor tensor;
    tensor.dtype = found.dtype;
    tensor.shape = found.shape;
    tensor.data = found.data;
    if (found.packing.has_value()) set_packing(tensor, *found.packing);
    BRISK_RETURN_IF_ERROR(add_tensor(checkpoint, std::string(found.name), std::move(tensor)));
  }
  return absl::OkStatus();
}

absl::Status read_parsed(const GgufFile& file, Checkpoint& checkpoint) {
  BRISK_RETURN_IF_ERROR(read_gguf_config(file, checkpoint.config));
  BRISK_RETURN_IF_ERROR(read_generation(file, checkpoint.generation));
  BRISK_ASSIGN_OR_RETURN(checkpoint.tokenizer, read_gguf_tokenizer(file));
  BRISK_ASSIGN_OR_RETURN(const auto chat_template, file.string("tokenizer.chat_template"));
  checkpoint.chat_template = chat_template.value_or("");
  BRISK_RETURN_IF_ERROR(add_tensors(file, checkpoint));
  ModelConfig& config = checkpoint.config;
  const TokenizerRules& rules = checkpoint.tokenizer.rules;
  if (config.vocab_size == 0) {
    config.vocab_size = static_cast<int64_t>(checkpoint.tokenizer.tokens.size());
  }
  config.bos_token = rules.bos;
  config.eos_tokens = rules.end_of_generation;
  checkpoint.metadata = gguf_metadata(file);
  checkpoint.metadata.erase("tokenizer.chat_template");
  return absl::OkStatus();
}

// Which part of how many a file is, as it says itself.
struct Split {
  int64_t part = 1;
  int64_t parts = 1;
  int64_t tensors = -1;  // of all parts; -1: not said
};

absl::StatusOr<Split> split_of(const GgufFile& file) {
  BRISK_ASSIGN_OR_RETURN(const auto number, file.integer("split.no"));
  BRISK_ASSIGN_OR_RETURN(const auto count, file.integer("split.count"));
  BRISK_ASSIGN_OR_RETURN(const auto tensors, file.integer("split.tensors.count"));
  return Split{.part = std::min(number.value_or(0), int64_t{kSplitPartsMax}) + 1,
               .parts = count.value_or(1),
               .tensors = tensors.value_or(-1)};
}

absl::Status read_part(const std::string& path, int part, int parts, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
  checkpoint.files.push_back(std::move(mapped));
  BRISK_ASSIGN_OR_RETURN(const GgufFile file, parse_gguf(checkpoint.files.back().bytes()));
  BRISK_ASSIGN_OR_RETURN(const Split split, split_of(file));
  if (split.part != part || split.parts != parts) {
    return invalid_input("it says that it is part {} of {}, not {} of {}", split.part, split.parts,
                         part, parts);
  }
  return add_tensors(file, checkpoint);
}

}  // namespace

absl::Status read_gguf(std::span<const std::byte> bytes, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(const GgufFile file, parse_gguf(bytes));
  return read_parsed(file, checkpoint);
}

absl::Status read_split_gguf(const std::string& path, Checkpoint& checkpoint) {
  const absl::StatusOr<GgufFile> first = parse_gguf(checkpoint.files.back().bytes());
  if (!first.ok()) return annotate(first.status(), path);
  const absl::StatusOr<Split> split = split_of(*first);
  if (!split.ok()) return annotate(split.status(), path);
  const std::optional<SplitName> name = parse_split_name(path);
  if (split->parts > 1 && (!name.has_value() || name->parts != split->parts)) {
    return invalid_input(
        "{} is a part of {}: the parts must have the names that they came with, "
        "NAME-00001-of-{:05}.gguf, ...",
        path, split->parts, split->parts);
  }
  if (split->part != 1)
    return invalid_input("{} is not the first part: open {}", path,
                         name.has_value() ? name->of_part(1) : "that");
  BRISK_RETURN_IF_ERROR(annotate(read_parsed(*first, checkpoint), path));
  for (int part = 2; part <= split->parts; ++part) {
    const std::string other = name->of_part(part);
    BRISK_RETURN_IF_ERROR(
        annotate(read_part(other, part, static_cast<int>(split->parts), checkpoint), other));
  }
  if (split->tensors >= 0 && split->tensors != std::ssize(checkpoint.tensors)) {
    return invalid_input("{}: its parts have {} tensors, not {}: one is of another model", path,
                         checkpoint.tensors.size(), split->tensors);
  }
  return absl::OkStatus();
}

}  // namespace brisk
