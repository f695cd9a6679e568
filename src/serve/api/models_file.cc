#include "serve/api/models_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <limits>
#include <set>
#include <sstream>
#include <utility>

#include "base/file_stamp.h"
#include "base/split_name.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"
#include "serve/tools/tool_call_syntax.h"

namespace brisk::api {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFileBytesMax = 1 << 20;
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

template <class Value>
using Choices = std::vector<std::pair<std::string_view, Value>>;

// One table of the file: values asked for by name and type. The first fault is remembered, and in
// the end no key may be left that nobody asked for.
class Table {
 public:
  Table(const toml::table& table, std::string where) : table_(table), where_(std::move(where)) {}

  const toml::node* find(const char* key) {
    known_.insert(key);
    return table_.get(key);
  }

  void text(const char* key, std::string* value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto text = node->value_exact<std::string>();
    if (!text.has_value()) return fail(key, "must be a string");
    *value = *text;
  }

  // Relative paths are meant inside `directory`.
  void path(const char* key, const std::string& directory, std::string* value) {
    std::string text;
    this->text(key, &text);
    if (!text.empty()) *value = (fs::path(directory) / text).lexically_normal().string();
  }

  void texts(const char* key, std::vector<std::string>* values) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return fail(key, "must be an array of strings");
    for (const toml::node& each : *array) {
      const auto text = each.value_exact<std::string>();
      if (!text.has_value()) return fail(key, "must be an array of strings");
      values->push_back(*text);
    }
  }

  template <class Integer>
  void integer(const char* key, Integer* value, int64_t min, int64_t max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto number = node->value_exact<int64_t>();
    if (!number.has_value() || *number < min || *number > max) {
      return fail(key, fmt::format("must be an integer from {} to {}", min, max));
    }
    *value = static_cast<Integer>(*number);
  }

  void number(const char* key, std::optional<double>* value, double min, double max) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto number = node->value<double>();  // integers too
    if (!number.has_value() || !(*number >= min && *number <= max)) {
      return fail(key, fmt::format("must be a number from {} to {}", min, max));
    }
    *value = *number;
  }

  void flag(const char* key, bool* value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto flag = node->value_exact<bool>();
    if (!flag.has_value()) return fail(key, "must be true or false");
    *value = *flag;
  }

  void bytes(const char* key, int64_t* value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (const auto number = node->value_exact<int64_t>(); number.has_value() && *number >= 0) {
      *value = *number;
      return;
    }
    const auto size = parse_bytes(node->value_or(std::string()));
    if (!size.ok()) return fail(key, "must be a size, such as \"4GiB\"");
    *value = *size;
  }

  template <class Value>
  void choice(const char* key, Value* value, const Choices<Value>& choices) {
    std::string text;
    this->text(key, &text);
    if (text.empty()) return;
    std::string all;
    for (const auto& [name, meaning] : choices) {
      if (name == text) *value = meaning;
      if (name == text) return;
      all += (all.empty() ? "" : ", ") + std::string(name);
    }
    fail(key, "must be one of " + all);
  }

  // Null when there is none.
  const toml::table* table(const char* key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) fail(key, "must be a table");
    return node->as_table();
  }

  void fail(std::string_view key, std::string_view what) {
    if (status_.ok()) status_ = invalid_input("{}{}: {}", where_, key, what);
  }

  void take(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

  absl::Status finish() {
    for (const auto& [key, value] : table_) {
      if (!known_.contains(std::string(key.str()))) fail(key.str(), "is not a known key");
    }
    return status_;
  }

 private:
  const toml::table& table_;
  const std::string where_;
  std::set<std::string> known_;
  absl::Status status_;
};

absl::Status read_sampling(const toml::table& table, const std::string& where,
                           GenerationDefaults* sampling) {
  Table fields(table, where + "sampling.");
  fields.number("temperature", &sampling->temperature, 0, 2);
  fields.number("top_p", &sampling->top_p, 1e-6, 1);
  fields.number("min_p", &sampling->min_p, 0, 1);
  fields.number("repetition_penalty", &sampling->repetition_penalty, 1e-6, 100);
  fields.integer("top_k", &sampling->top_k, -1, kInt32Max);
  return fields.finish();
}

void read_engine(Table& fields, EngineOptions* engine) {
  fields.integer("threads", &engine->threads, 0, 1024);
  fields.integer("context", &engine->context_max, 0, kInt32Max);
  fields.integer("kv_tokens", &engine->kv_tokens, 0, kInt32Max);
  fields.bytes("kv_memory", &engine->kv_bytes_max);
  fields.integer("sequences_max", &engine->sequences_max, 1, 1 << 16);
  fields.integer("tokens_per_step", &engine->tokens_per_step_max, 1, 1 << 20);
  fields.integer("queue_max", &engine->queue_max, 1, kInt32Max);
  fields.choice("kv_dtype", &engine->kv_dtype,
                {{"auto", KvDType::kAuto},
                 {"f32", KvDType::kF32},
                 {"f16", KvDType::kF16},
                 {"bf16", KvDType::kBF16},
                 {"int8", KvDType::kInt8},
                 {"fp8", KvDType::kFp8},
                 {"int4", KvDType::kInt4}});
}

void read_adapters(Table& fields, const std::string& directory, ModelConfig* model) {
  const toml::table* adapters = fields.table("lora");
  if (adapters == nullptr) return;
  for (const auto& [name, path] : *adapters) {
    const auto text = path.value_exact<std::string>();
    if (!text.has_value()) return fields.fail("lora", "must map names to paths");
    model->adapters.emplace_back(name.str(),
                                 (fs::path(directory) / *text).lexically_normal().string());
  }
}

absl::StatusOr<ModelConfig> read_model(std::string_view name, const toml::node& node,
                                       const std::string& directory, const ModelConfig& base) {
  const std::string where = fmt::format("models.{}.", name);
  if (!node.is_table()) return invalid_input("models.{} must be a table", name);
  Table fields(*node.as_table(), where);
  ModelConfig model = base;
  model.name = name;
  fields.path("path", directory, &model.path);
  if (fields.find("path") == nullptr) fields.fail("path", "is missing");
  fields.texts("aliases", &model.aliases);
  fields.path("tokenizer", directory, &model.tokenizer);
  fields.path("chat_template", directory, &model.chat_template);
  fields.path("lora_dir", directory, &model.lora_directory);
  fields.flag("preload", &model.preload);
  fields.flag("keep", &model.keep);
  fields.choice("pooling", &model.pooling, {{"mean", Pooling::kMean}, {"last", Pooling::kLast}});
  fields.choice("activations", &model.activations,
                {{"int8", Activations::kInt8}, {"f32", Activations::kF32}});
  const std::vector<std::string> parsers = tool_call_syntax_choices();
  Choices<std::string> syntaxes;
  for (const std::string& parser : parsers) syntaxes.emplace_back(parser, parser);
  fields.choice("tool_call_parser", &model.tool_call_parser, syntaxes);
  read_engine(fields, &model.engine);
  read_adapters(fields, directory, &model);
  if (const toml::table* sampling = fields.table("sampling")) {
    fields.take(read_sampling(*sampling, where, &model.sampling));
  }
  BRISK_RETURN_IF_ERROR(fields.finish());
  std::ostringstream text;
  text << *node.as_table();
  model.edition = text.str();
  return model;
}

void add_stamps(ModelConfigs* configs) {
  for (ModelConfig& model : configs->models) {
    for (const std::string* path : {&model.path, &model.tokenizer, &model.chat_template}) {
      if (!path->empty()) model.edition += "\n" + file_stamp(*path);
    }
  }
}

bool is_model(const fs::directory_entry& entry) {
  std::error_code ignored;
  if (entry.is_directory(ignored)) return fs::exists(entry.path() / "config.json", ignored);
  if (entry.path().extension() != ".gguf") return false;
  const std::optional<SplitName> split = parse_split_name(entry.path().string());
  return !split.has_value() || split->part == 1;
}

// Of a GGUF file: without what is said by its end.
std::string name_of_file(const std::string& name) {
  const std::optional<SplitName> split = parse_split_name(name);
  return split.has_value() ? split->stem : name.substr(0, name.size() - 5);  // ".gguf"
}

// The models in `directory` and its directories, whose names begin with `prefix`.
absl::Status find_models(const fs::path& directory, const std::string& prefix, int depth,
                         const ModelConfig& base, std::vector<ModelConfig>* models) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    entries.push_back(*it);
  }
  if (error) return system_error("{}: {}", directory.string(), error.message());
  std::ranges::sort(entries, {}, [](const fs::directory_entry& entry) { return entry.path(); });
  for (const fs::directory_entry& entry : entries) {
    const std::string name = prefix + entry.path().filename().string();
    if (is_model(entry)) {
      if (models->size() >= kModelsMax) {
        return invalid_input("{} holds more than {} models", directory.string(), kModelsMax);
      }
      ModelConfig& model = models->emplace_back(base);
      model.name = entry.is_directory() ? name : name_of_file(name);
      model.path = entry.path().string();
    } else if (depth > 0 && entry.is_directory(error) && !name.starts_with('.')) {
      BRISK_RETURN_IF_ERROR(find_models(entry.path(), name + "/", depth - 1, base, models));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> parse_bytes(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, int>, 12> kUnits = {{{"", 0},
                                                                        {"B", 0},
                                                                        {"K", 10},
                                                                        {"KiB", 10},
                                                                        {"KB", 10},
                                                                        {"M", 20},
                                                                        {"MiB", 20},
                                                                        {"MB", 20},
                                                                        {"G", 30},
                                                                        {"GiB", 30},
                                                                        {"GB", 30},
                                                                        {"TiB", 40}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto known = std::ranges::find(kUnits, unit, [](const auto& each) { return each.first; });
  if (error != std::errc() || known == kUnits.end() || !(number >= 0)) {
    return invalid_input("{} is not a size, such as 4GiB", text);
  }
  const double bytes = number * static_cast<double>(int64_t{1} << known->second);
  if (!(bytes < 0x1p62)) return invalid_input("{} is too large", text);
  return static_cast<int64_t>(bytes);
}

absl::StatusOr<ModelConfigs> parse_models(std::string_view toml, const std::string& directory,
                                          const ModelConfig& base) {
  toml::table root;
  try {
    root = toml::parse(toml);
  } catch (const toml::parse_error& error) {
    return invalid_input("line {}: {}", error.source().begin.line, error.description());
  } catch (const std::exception& error) {
    return invalid_input("{}", error.what());
  }
  ModelConfigs configs;
  Table fields(root, "");
  fields.text("default", &configs.default_name);
  if (const toml::table* models = fields.table("models")) {
    if (models->size() > kModelsMax) fields.fail("models", "are too many");
    for (const auto& [name, node] : *models) {
      absl::StatusOr<ModelConfig> model = read_model(name.str(), node, directory, base);
      fields.take(model.status());
      if (!model.ok()) break;
      configs.models.push_back(*std::move(model));
    }
  }
  BRISK_RETURN_IF_ERROR(fields.finish());
  BRISK_RETURN_IF_ERROR(check(configs));
  return configs;
}

absl::StatusOr<ModelConfigs> read_models(const std::string& path, const ModelConfig& base) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    ModelConfigs configs;
    BRISK_RETURN_IF_ERROR(find_models(path, "", 1, base, &configs.models));
    if (configs.models.empty()) {
      return invalid_input("{} holds no .gguf file and no Hugging Face directory", path);
    }
    const absl::Status checked = check(configs);
    if (!checked.ok()) return annotate(checked, path);
    add_stamps(&configs);
    return configs;
  }
  BRISK_ASSIGN_OR_RETURN(const std::string text, read_file(path, kFileBytesMax));
  absl::StatusOr<ModelConfigs> configs =
      parse_models(text, fs::path(path).parent_path().string(), base);
  if (!configs.ok()) return annotate(configs.status(), path);
  add_stamps(&*configs);
  return configs;
}

}  // namespace brisk::api
