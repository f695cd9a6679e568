#include "compress/trim/trim_vocab.h"

#include <algorithm>

#include "base/status.h"
#include "compress/edit/checkpoint_edit.h"
#include "model/arch/architecture.h"
#include "model/convert/convert.h"

namespace brisk {
namespace {

// A model may have more rows than its tokenizer has tokens; those nobody can ask for go as well.
absl::Status trim_table(const Checkpoint& source, const std::string& name,
                        const std::vector<int64_t>& rows, CheckpointEdit& edit) {
  const NamedTensor* table = source.find_weight(name);
  if (table == nullptr) return absl::OkStatus();
  const Tensor& tensor = table->tensor;
  if (tensor.shape.empty() || tensor.shape[0] <= rows.back()) {
    return invalid_input("{} has fewer rows than the tokenizer has tokens", name);
  }
  if (tensor.is_packed() || !tensor.scales.empty()) {
    return invalid_input("{}: its rows cannot be taken apart; `brisk convert` the model first",
                         name);
  }
  edit.select_rows(*table, rows);
  return absl::OkStatus();
}

std::string bias_of(std::string name) {
  if (const size_t at = name.rfind("weight"); at != std::string::npos) name.replace(at, 6, "bias");
  return name;
}

}  // namespace

absl::StatusOr<TrimResult> trim_vocab(const std::string& in, const std::string& out,
                                      const std::vector<std::string>& texts,
                                      const std::string& tokenizer_path) {
  BRISK_ASSIGN_OR_RETURN(const auto source,
                         open_checkpoint(in, {.tokenizer_path = tokenizer_path}));
  if (source->tokenizer.kind == TokenizerKind::kNone) {
    return invalid_input("{}: the model has no tokenizer; give one with --tokenizer", in);
  }
  BRISK_ASSIGN_OR_RETURN(const Architecture* architecture, find_architecture(source->config));
  const TensorNames names = architecture->names(source->config.layout);
  BRISK_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::create(source->tokenizer));
  const std::vector<int32_t> kept = tokens_to_keep(source->tokenizer, *tokenizer, texts);
  if (texts.empty() || kept.empty()) return invalid_input("the corpus has no text");
  const std::vector<int64_t> rows(kept.begin(), kept.end());

  CheckpointEdit edit(source);
  for (const std::string& name : {names.embedding, names.head, bias_of(names.head)}) {
    BRISK_RETURN_IF_ERROR(trim_table(*source, name, rows, edit));
  }
  edit.tokenizer() = trim_tokenizer(source->tokenizer, kept);
  ModelConfig& config = edit.config();
  config.vocab_size = std::ssize(kept);
  const auto new_id = [&kept](int32_t token) {
    const auto it = std::lower_bound(kept.begin(), kept.end(), token);
    return it == kept.end() || *it != token ? -1 : static_cast<int32_t>(it - kept.begin());
  };
  config.bos_token = new_id(config.bos_token);
  for (int32_t& token : config.eos_tokens) token = new_id(token);
  std::erase(config.eos_tokens, -1);

  TrimResult result = {.bytes = 0,
                       .tokens_before = std::ssize(source->tokenizer.tokens),
                       .tokens = std::ssize(kept)};
  // Its tokenizer files are another model's now: they are written, not copied.
  BRISK_ASSIGN_OR_RETURN(const ConvertResult written,
                         write_checkpoint(edit.edited(), /*in=*/"", out, ConvertOptions()));
  result.bytes = written.bytes;
  if (written.tokenizer.starts_with("left out")) {
    return unsupported("{}: the trimmed tokenizer was {}", out, written.tokenizer);
  }
  return result;
}

}  // namespace brisk
