#include "train/corpus.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "compute/sys/mapped_file.h"

namespace brisk::train {
namespace {

constexpr size_t kLineBytesMax = size_t{64} << 20;
constexpr std::string_view kSeparator = "<|endoftext|>";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string_view> documents_of_text(std::string_view text) {
  std::vector<std::string_view> documents;
  while (true) {
    const size_t end = text.find(kSeparator);
    const std::string_view document = trimmed(text.substr(0, end));
    if (!document.empty()) documents.push_back(document);
    if (end == std::string_view::npos) return documents;
    text.remove_prefix(end + kSeparator.size());
  }
}

// A document while it is put together.
struct Draft {
  std::vector<int32_t> tokens;
  std::vector<bool> learned;

  void add(const std::vector<int32_t>& more, bool learn) {
    tokens.insert(tokens.end(), more.begin(), more.end());
    learned.resize(tokens.size(), learn);
  }
};

}  // namespace

absl::StatusOr<DataSource> parse_data_source(const std::string& text) {
  DataSource source = {.path = text};
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size()) return source;
  const std::string tail = text.substr(colon + 1);
  if (tail.find_first_not_of("0123456789.") != std::string::npos) return source;
  source.path = text.substr(0, colon);
  source.weight = std::strtod(tail.c_str(), nullptr);
  constexpr double kWeightMax = 1000;
  if (!(source.weight > 0 && source.weight <= kWeightMax)) {
    return invalid_input("--data {}: the weight must be above 0 and at most {}", text, kWeightMax);
  }
  return source;
}

// Reads one file into a corpus.
struct Corpus::Reader {
  Corpus& corpus;
  const Options& options;
  uint16_t source;

  Draft plain(std::string_view text) const {
    const TokenizerRules& rules = options.tokenizer->rules();
    Draft draft;
    draft.add(options.tokenizer->encode(text, {.add_special = true}), true);
    if (rules.eos >= 0 && (draft.tokens.empty() || draft.tokens.back() != rules.eos)) {
      draft.add({rules.eos}, true);
    }
    if (!draft.tokens.empty() && draft.tokens.front() == rules.bos) draft.learned[0] = false;
    return draft;
  }

  absl::StatusOr<std::string> render(const OrderedJson& messages, bool prompt) const {
    const TokenizerRules& rules = options.tokenizer->rules();
    ChatInput input;
    input.messages = messages;
    input.add_generation_prompt = prompt;
    if (rules.bos >= 0) input.bos_token = options.tokenizer->decode_token(rules.bos, true);
    if (rules.eos >= 0) input.eos_token = options.tokenizer->decode_token(rules.eos, true);
    BRISK_ASSIGN_OR_RETURN(const OrderedJson variables, template_variables(std::move(input)));
    return options.chat_template->render(variables);
  }

  std::vector<int32_t> encode(std::string_view text) const {
    return options.tokenizer->encode(text, {.add_special = false, .parse_special = true});
  }

  // What the assistant says, up to the token that ends its turn, is learned. Its beginning is where
  // inference begins, so texts are cut there before they are tokenised.
  absl::StatusOr<Draft> conversation(const OrderedJson& messages) const {
    Draft draft;
    std::string done;
    OrderedJson so_far = OrderedJson::array();
    for (const OrderedJson& message : messages) {
      const bool assistant = message.is_object() && message.value("role", "") == "assistant";
      std::string prompt;
      if (assistant) {
        BRISK_ASSIGN_OR_RETURN(prompt, render(so_far, true));
      }
      so_far.push_back(message);
      if (!assistant) continue;
      BRISK_ASSIGN_OR_RETURN(const std::string all, render(so_far, false));
      if (!prompt.starts_with(done) || !all.starts_with(prompt)) {
        return invalid_input(
            "the chat template rewrites earlier turns, so that the answers cannot be found in its "
            "text; train with another --chat-template");
      }
      draft.add(encode(std::string_view(prompt).substr(done.size())), options.learn_prompts);
      const std::vector<int32_t> answer = encode(std::string_view(all).substr(prompt.size()));
      draft.add(answer, true);
      const auto end = std::find_if(answer.rbegin(), answer.rend(), [this](int32_t token) {
        return options.tokenizer->ends_generation(token);
      });
      const auto behind_end = end == answer.rend() ? 0 : end - answer.rbegin();
      std::fill(draft.learned.end() - behind_end, draft.learned.end(), options.learn_prompts);
      done = all;
    }
    if (draft.tokens.empty()) return invalid_input("\"messages\" has no turn of the assistant");
    return draft;
  }

  absl::Status line(std::string_view text) {
    BRISK_ASSIGN_OR_RETURN(const OrderedJson json,
                           parse_ordered_json(text, {.bytes_max = kLineBytesMax}));
    if (!json.is_object()) return invalid_input("a line must be a JSON object");
    Draft draft;
    if (const auto found = json.find("messages"); found != json.end()) {
      if (!found->is_array()) return invalid_input("\"messages\" must be an array");
      BRISK_ASSIGN_OR_RETURN(draft, conversation(*found));
    } else if (const auto found_text = json.find("text");
               found_text != json.end() && found_text->is_string()) {
      draft = plain(found_text->get_ref<const std::string&>());
    } else {
      return invalid_input("a line needs \"text\" (a string) or \"messages\" (an array)");
    }
    corpus.add(draft.tokens, draft.learned, source);
    return absl::OkStatus();
  }

  absl::Status jsonl(std::string_view text) {
    for (size_t number = 1, at = 0; at < text.size(); ++number) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view one = trimmed(text.substr(at, end - at));
      if (!one.empty()) {
        BRISK_RETURN_IF_ERROR(annotate(line(one), fmt::format("line {}", number)));
      }
      at = end + 1;
      if (options.on_progress && number % 256 == 0) options.on_progress(at, text.size());
    }
    return absl::OkStatus();
  }

  absl::Status read(const std::string& path) {
    BRISK_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
    const size_t before = corpus.documents_.size();
    if (path.ends_with(".jsonl")) {
      BRISK_RETURN_IF_ERROR(annotate(jsonl(file.text()), path));
    } else {
      for (const std::string_view document : documents_of_text(file.text())) {
        const Draft draft = plain(document);
        corpus.add(draft.tokens, draft.learned, source);
        if (!options.on_progress) continue;
        options.on_progress(static_cast<uint64_t>(document.data() - file.text().data()),
                            file.text().size());
      }
    }
    if (corpus.documents_.size() > before) return absl::OkStatus();
    return invalid_input("{}: there is nothing to learn from in this file", path);
  }
};

void Corpus::add(const std::vector<int32_t>& tokens, const std::vector<bool>& learned,
                 uint16_t source) {
  if (tokens.size() < 2) return;  // nothing follows anything
  const bool is_text = std::find(learned.begin() + 1, learned.end(), false) == learned.end();
  documents_.push_back(
      {low_.size(), static_cast<uint32_t>(tokens.size()), source, uint16_t{is_text}});
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto token = static_cast<uint32_t>(tokens[i]);
    if (token >> 16 != 0 && high_.empty()) high_.resize(low_.size());
    low_.push_back(static_cast<uint16_t>(token));
    if (token >> 16 != 0 || !high_.empty()) high_.push_back(static_cast<uint16_t>(token >> 16));
    learned_.push_back(learned[i]);
    learned_tokens_ += learned[i] && i > 0 ? 1 : 0;
  }
}

absl::StatusOr<Corpus> Corpus::read(const std::vector<DataSource>& sources,
                                    const Options& options) {
  Corpus corpus;
  corpus.sources_ = sources;
  for (size_t i = 0; i < sources.size(); ++i) {
    Reader reader = {.corpus = corpus, .options = options, .source = static_cast<uint16_t>(i)};
    BRISK_RETURN_IF_ERROR(reader.read(sources[i].path));
  }
  return corpus;
}

uint64_t Corpus::fingerprint() const {
  uint64_t hash = XXH3_64bits(low_.data(), low_.size() * sizeof(uint16_t));
  hash = XXH3_64bits_withSeed(high_.data(), high_.size() * sizeof(uint16_t), hash);
  hash = XXH3_64bits_withSeed(documents_.data(), documents_.size() * sizeof(Document), hash);
  for (const DataSource& source : sources_) {
    hash = XXH3_64bits_withSeed(&source.weight, sizeof source.weight, hash);
  }
  return hash;
}

}  // namespace brisk::train
