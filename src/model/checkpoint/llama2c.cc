#include "model/checkpoint/llama2c.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "model/checkpoint/byte_cursor.h"
#include "model/checkpoint/tensor_table.h"

namespace brisk {
namespace {

constexpr uint32_t kMagic = 0x616B3432;  // "ak42", the first letter in the highest byte
constexpr uint64_t kHeaderBytes = 256;   // versions 1 and 2

enum class Variant : uint8_t { kFloat0, kFloat1, kInt8, kTernary };

struct Header {
  Variant variant = Variant::kFloat0;
  int32_t hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, vocab = 0, context = 0;
  bool tied = true;
  int32_t group = 0;   // kInt8: values that share a scale
  uint64_t bytes = 0;  // where the weights begin
};

// How an array lies in the file.
enum class Storage : uint8_t {
  kFloat,    // f32
  kUnused,   // f32 that nobody needs
  kInt8,     // int8 values, then a scale for each group of them
  kTernary,  // one scale, then four values a byte
};

struct Array {
  std::string name;
  std::vector<int64_t> shape;
  Storage storage = Storage::kFloat;

  int64_t values() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }
};

// Bounds that keep every product below inside 64 bits.
absl::Status check_sizes(const Header& header) {
  const auto within = [](int32_t value, int32_t max) { return value > 0 && value <= max; };
  const bool possible = within(header.hidden, 1 << 20) && within(header.ffn, 1 << 22) &&
                        within(header.layers, 1 << 12) && within(header.heads, 1 << 16) &&
                        within(header.kv_heads, header.heads) && within(header.vocab, 1 << 24) &&
                        within(header.context, 1 << 24);
  if (!possible || header.hidden % header.heads != 0 || header.heads % header.kv_heads != 0 ||
      header.hidden / header.heads % 2 != 0) {
    return invalid_input(
        "the llama2.c header is impossible: dim {}, hidden {}, layers {}, heads {}, kv heads {}, "
        "vocabulary {}, context {}",
        header.hidden, header.ffn, header.layers, header.heads, header.kv_heads, header.vocab,
        header.context);
  }
  return absl::OkStatus();
}

bool read_sizes(ByteCursor& cursor, Header& header) {
  return cursor.read(&header.hidden) && cursor.read(&header.ffn) && cursor.read(&header.layers) &&
         cursor.read(&header.heads) && cursor.read(&header.kv_heads) &&
         cursor.read(&header.vocab) && cursor.read(&header.context);
}

std::string layer_name(int64_t layer, std::string_view role) {
  return fmt::format("blk.{}.{}.weight", layer, role);
}

// Collects the arrays of a file in their order.
class Plan {
 public:
  explicit Plan(const Header& header) : header_(header) {
    switch (header.variant) {
      case Variant::kFloat0:
        plan_version_0();
        break;
      case Variant::kFloat1:
      case Variant::kInt8:
        norms();
        add("token_embd.weight", {header.vocab, header.hidden}, matrix_storage());
        matrices();
        head();
        break;
      case Variant::kTernary:
        final_norm();
        add("token_embd.weight", {header.vocab, header.hidden}, Storage::kFloat);
        matrices();
        break;
    }
  }

  std::vector<Array> take() && { return std::move(arrays_); }

 private:
  void plan_version_0() {
    add("token_embd.weight", {header_.vocab, header_.hidden}, Storage::kFloat);
    each_layer("attn_norm", {header_.hidden}, Storage::kFloat);
    attention();
    each_layer("ffn_norm", {header_.hidden}, Storage::kFloat);
    ffn();
    final_norm();
    // Cosines and sines of the rotation, which everyone computes instead.
    add("", {header_.context, header_.hidden / header_.heads}, Storage::kUnused);
    head();
  }

  void norms() {
    each_layer("attn_norm", {header_.hidden}, Storage::kFloat);
    each_layer("ffn_norm", {header_.hidden}, Storage::kFloat);
    final_norm();
  }

  void final_norm() { add("output_norm.weight", {header_.hidden}, Storage::kFloat); }

  void matrices() {
    attention();
    ffn();
  }

  void attention() {
    const int64_t hidden = header_.hidden;
    const int64_t kv = hidden / header_.heads * header_.kv_heads;
    each_layer("attn_q", {hidden, hidden}, matrix_storage());
    each_layer("attn_k", {kv, hidden}, matrix_storage());
    each_layer("attn_v", {kv, hidden}, matrix_storage());
    each_layer("attn_output", {hidden, hidden}, matrix_storage());
  }

  void ffn() {
    each_layer("ffn_gate", {header_.ffn, header_.hidden}, matrix_storage());
    each_layer("ffn_down", {header_.hidden, header_.ffn}, matrix_storage());
    each_layer("ffn_up", {header_.ffn, header_.hidden}, matrix_storage());
  }

  void head() {
    if (!header_.tied) add("output.weight", {header_.vocab, header_.hidden}, matrix_storage());
  }

  Storage matrix_storage() const {
    switch (header_.variant) {
      case Variant::kFloat0:
      case Variant::kFloat1:
        return Storage::kFloat;
      case Variant::kInt8:
        return Storage::kInt8;
      case Variant::kTernary:
        return Storage::kTernary;
    }
    return Storage::kFloat;
  }

  void each_layer(std::string_view role, const std::vector<int64_t>& shape, Storage storage) {
    for (int64_t layer = 0; layer < header_.layers; ++layer) {
      add(layer_name(layer, role), shape, storage);
    }
  }

  void add(std::string name, std::vector<int64_t> shape, Storage storage) {
    arrays_.push_back({std::move(name), std::move(shape), storage});
  }

  const Header& header_;
  std::vector<Array> arrays_;
};

// Bytes of an array; nullopt when its values do not fill groups or bytes.
std::optional<uint64_t> bytes_of_array(const Array& array, const Header& header) {
  const auto values = static_cast<uint64_t>(array.values());
  switch (array.storage) {
    case Storage::kFloat:
    case Storage::kUnused:
      return values * 4;
    case Storage::kInt8: {
      const auto group = static_cast<uint64_t>(header.group);
      if (values % group != 0) return std::nullopt;
      return values + values / group * 4;
    }
    case Storage::kTernary:
      if (values % 4 != 0) return std::nullopt;
      return 4 + values / 4;
  }
  return std::nullopt;
}

// The size of the whole file that `header` describes.
std::optional<uint64_t> file_bytes(const Header& header) {
  uint64_t total = header.bytes;
  for (const Array& array : Plan(header).take()) {
    const std::optional<uint64_t> bytes = bytes_of_array(array, header);
    if (!bytes.has_value()) return std::nullopt;
    total += *bytes;
  }
  return total;
}

absl::StatusOr<Header> read_header_with_magic(std::span<const std::byte> file) {
  ByteCursor cursor(file);
  uint32_t magic = 0;
  int32_t version = 0;
  uint8_t tied = 0;
  Header header;
  header.bytes = kHeaderBytes;
  if (file.size() < kHeaderBytes || !cursor.read(&magic) || !cursor.read(&version) ||
      !read_sizes(cursor, header) || !cursor.read(&tied) || !cursor.read(&header.group)) {
    return invalid_input("the file ends inside its llama2.c header");
  }
  if (version != 1 && version != 2) {
    return unsupported("llama2.c version {}; brisk reads 0, 1 and 2", version);
  }
  BRISK_RETURN_IF_ERROR(check_sizes(header));
  if (tied > 1) return invalid_input("the llama2.c header says neither tied nor untied ({})", tied);
  header.tied = tied == 1;
  header.variant = version == 1 ? Variant::kFloat1 : Variant::kInt8;
  if (version == 2 && (header.group <= 0 || header.group > header.hidden)) {
    return invalid_input("the llama2.c header has groups of {} values", header.group);
  }
  // bitllama2.c kept the version of the f32 format: only the size tells them apart.
  if (version == 1 && header.tied) {
    Header ternary = header;
    ternary.variant = Variant::kTernary;
    if (file_bytes(ternary) == file.size()) return ternary;
  }
  return header;
}

absl::StatusOr<Header> read_header_version_0(std::span<const std::byte> file) {
  ByteCursor cursor(file);
  Header header;
  if (!read_sizes(cursor, header)) {
    return invalid_input("the file ends inside its llama2.c header");
  }
  if (header.vocab < 0 && header.vocab > -(1 << 25)) {
    header.tied = false;
    header.vocab = -header.vocab;
  }
  header.bytes = cursor.position();
  BRISK_RETURN_IF_ERROR(check_sizes(header));
  return header;
}

bool has_magic(std::span<const std::byte> file) {
  uint32_t magic = 0;
  return ByteCursor(file).read(&magic) && magic == kMagic;
}

absl::StatusOr<Header> read_header(std::span<const std::byte> file) {
  return has_magic(file) ? read_header_with_magic(file) : read_header_version_0(file);
}

// Scales that lie at `raw`: in place where they are aligned, else copied.
std::span<const float> scales_at(std::span<const std::byte> raw, Checkpoint& checkpoint) {
  const size_t count = raw.size() / sizeof(float);
  if (reinterpret_cast<uintptr_t>(raw.data()) % alignof(float) == 0) {
    return {reinterpret_cast<const float*>(raw.data()), count};
  }
  checkpoint.owned.push_back(std::make_unique<float[]>(count));
  std::memcpy(checkpoint.owned.back().get(), raw.data(), raw.size());
  return {checkpoint.owned.back().get(), count};
}

// The tensor at the cursor. REQUIRES: the file has the size that the header describes.
Tensor tensor_at(ByteCursor& cursor, const Array& array, const Header& header,
                 Checkpoint& checkpoint) {
  const auto values = static_cast<uint64_t>(array.values());
  Tensor tensor;
  tensor.shape = array.shape;
  std::span<const std::byte> scales;
  bool complete = false;
  switch (array.storage) {
    case Storage::kFloat:
    case Storage::kUnused:
      complete = cursor.take(values * 4, &tensor.data);
      break;
    case Storage::kInt8:
      tensor.dtype = DType::kInt8Grouped;
      tensor.scale_group = header.group;
      complete = cursor.take(values, &tensor.data) &&
                 cursor.take(values / static_cast<uint64_t>(header.group) * 4, &scales);
      break;
    case Storage::kTernary:
      tensor.dtype = DType::kTernaryGrouped;
      tensor.scale_group = array.values();
      complete = cursor.take(4, &scales) && cursor.take(values / 4, &tensor.data);
      break;
  }
  BRISK_CHECK(complete);
  if (!scales.empty()) tensor.scales = scales_at(scales, checkpoint);
  return tensor;
}

void fill_config(const Header& header, ModelConfig& config) {
  config.layout = Layout::kLlama2c;
  config.architecture = header.variant == Variant::kTernary ? "bitnet" : "llama";
  config.vocab_size = header.vocab;
  config.hidden_size = header.hidden;
  config.layers = header.layers;
  config.heads = header.heads;
  config.kv_heads = header.kv_heads;
  config.head_dim = header.hidden / header.heads;
  config.rotary_dim = config.head_dim;
  config.ffn_size = header.ffn;
  config.context_length = header.context;
  config.norm_eps = 1e-5;
  config.rope_theta = 10000;
  config.activation = "silu";
  config.tied_embeddings = header.tied;
  // SentencePiece's <s> and </s>; training texts were separated by <s>, so it ends one too.
  config.bos_token = 1;
  config.eos_tokens = {2, 1};
}

std::string_view variant_name(Variant variant) {
  switch (variant) {
    case Variant::kFloat0:
      return "llama2.c version 0 (f32)";
    case Variant::kFloat1:
      return "llama2.c version 1 (f32)";
    case Variant::kInt8:
      return "llama2.c version 2 (int8)";
    case Variant::kTernary:
      return "bitllama2.c (ternary)";
  }
  return "";
}

}  // namespace

bool is_llama2c(std::span<const std::byte> file) {
  return has_magic(file) || llama2c_file_bytes(file) == file.size();
}

std::optional<uint64_t> llama2c_file_bytes(std::span<const std::byte> file) {
  const auto header = read_header(file);
  return header.ok() ? file_bytes(*header) : std::nullopt;
}

absl::Status read_llama2c(std::span<const std::byte> file, Checkpoint& checkpoint) {
  BRISK_ASSIGN_OR_RETURN(const Header header, read_header(file));
  const std::optional<uint64_t> expected = file_bytes(header);
  if (!expected.has_value()) {
    return invalid_input("a matrix of the llama2.c file is not whole groups of {} values",
                         header.variant == Variant::kTernary ? 4 : header.group);
  }
  if (*expected != file.size()) {
    return invalid_input(
        "the file has {} bytes, but its llama2.c header describes {}: it is damaged or not "
        "completely downloaded",
        file.size(), *expected);
  }
  fill_config(header, checkpoint.config);
  ByteCursor cursor(file.subspan(static_cast<size_t>(header.bytes)));
  for (Array& array : Plan(header).take()) {
    Tensor tensor = tensor_at(cursor, array, header, checkpoint);
    if (array.storage == Storage::kUnused) continue;
    BRISK_RETURN_IF_ERROR(add_tensor(checkpoint, std::move(array.name), std::move(tensor)));
  }
  checkpoint.metadata = {{"format", variant_name(header.variant)}};
  if (header.group != 0 && header.variant == Variant::kInt8) {
    checkpoint.metadata["group_size"] = header.group;
  }
  return absl::OkStatus();
}

}  // namespace brisk
