#include "serve/api/served_model.h"

#include <algorithm>

#include "base/status.h"
#include "serve/api/errors.h"

namespace brisk::api {

bool ServedModel::is_own_name(std::string_view asked) const {
  return std::find(names.begin(), names.end(), asked) != names.end();
}

absl::StatusOr<std::shared_ptr<const Adapter>> ServedModel::adapter_named(
    std::string_view asked) const {
  if (asked.empty() || is_own_name(asked)) return nullptr;
  if (auto adapter = engine->adapters().find(asked)) return adapter;
  return with_code(
      not_found("there is no model {}; this server has {}", asked.substr(0, 200), name()),
      "model_not_found");
}

absl::StatusOr<std::vector<int32_t>> encode_prompt(const ServedModel& model,
                                                   const PromptText& prompt, bool add_special) {
  std::vector<int32_t> tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    tokens = model.tokenizer->encode(*text, {.add_special = add_special, .parse_special = true});
    const int32_t bos = model.tokenizer->rules().bos;
    if (add_special && tokens.size() > 1 && bos >= 0 && tokens[0] == bos && tokens[1] == bos) {
      tokens.erase(tokens.begin());  // the text began with it already
    }
  } else {
    tokens = std::get<std::vector<int32_t>>(prompt);
  }
  if (tokens.empty()) return bad_param("prompt", "prompt is empty");
  const int32_t size = model.tokenizer->vocab_size();
  for (const int32_t token : tokens) {
    if (token < 0 || token >= size) {
      return bad_param("prompt", fmt::format("prompt holds the token id {}; the vocabulary has {}",
                                             token, size));
    }
  }
  return tokens;
}

absl::StatusOr<std::string> render_chat(const ServedModel& model, const ChatRequest& chat) {
  absl::StatusOr<std::string> text = model.renderer(chat);
  if (!text.ok()) return bad_param("messages", std::string(message_of(text.status())));
  return text;
}

absl::StatusOr<std::vector<int32_t>> encode_chat(const ServedModel& model,
                                                 const ChatRequest& chat) {
  BRISK_ASSIGN_OR_RETURN(const std::string text, render_chat(model, chat));
  absl::StatusOr<std::vector<int32_t>> tokens = encode_prompt(model, text, chat.add_special_tokens);
  if (!tokens.ok()) return bad_param("messages", "the messages give an empty prompt");
  return tokens;
}

namespace {

// As vLLM does: a word with and without a space before it, the former only where it is another
// word of the vocabulary and not more tokens.
absl::Status encode_bad_words(const Tokenizer& tokenizer, const std::vector<std::string>& words,
                              std::vector<std::vector<int32_t>>* encoded) {
  for (const std::string& word : words) {
    const std::string bare = word.substr(word.find_first_not_of(' '));
    std::vector<int32_t> tokens = tokenizer.encode(bare, {.add_special = false});
    std::vector<int32_t> spaced = tokenizer.encode(" " + bare, {.add_special = false});
    if (tokens.empty() || std::ssize(tokens) > kBadWordTokensMax) {
      return bad_param("bad_words",
                       fmt::format("bad_words has a word of {} tokens; each may have 1 to {}",
                                   tokens.size(), kBadWordTokensMax));
    }
    const bool is_other = spaced.size() == tokens.size() && spaced[0] != tokens[0];
    encoded->push_back(std::move(tokens));
    if (is_other) encoded->push_back(std::move(spaced));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> compile(
    const ServedModel& model, const std::optional<StructuredOutput>& structured) {
  if (!structured.has_value()) return nullptr;
  auto grammar = model.grammars->compile(structured->source);
  if (grammar.ok()) return grammar;
  const std::string& param = structured->param;
  return bad_param(param, fmt::format("{}: {}", param, message_of(grammar.status())));
}

}  // namespace

absl::StatusOr<Request> make_request(const ServedModel& model, const GenerationSpec& spec,
                                     std::vector<int32_t> prompt, int max_tokens_default) {
  if (spec.max_tokens == 0) return bad_param("max_tokens", "max_tokens must be at least 1");
  const int64_t context = model.engine->context_max();
  if (spec.truncate_prompt_tokens.has_value()) {
    const int64_t asked = *spec.truncate_prompt_tokens;
    const int64_t keep = asked < 0 ? context - spec.max_tokens.value_or(1) : asked;
    if (keep < 1) return bad_param("max_tokens", "max_tokens leaves no room for a prompt");
    if (std::ssize(prompt) > keep) prompt.erase(prompt.begin(), prompt.end() - keep);
  }
  const auto prompt_tokens = std::ssize(prompt);
  const int64_t room = context - prompt_tokens;
  const int64_t wanted = spec.max_tokens.value_or(1);
  if (room < wanted) {
    const std::string advice =
        spec.max_tokens.has_value() && room > 0
            ? fmt::format("and {} are to be generated; lower max_tokens to {}", wanted, room)
            : "so that none is left to generate; shorten it";
    const std::string message = fmt::format(
        "this model's context is {} tokens; the prompt has {} {}", context, prompt_tokens, advice);
    return with_code(bad_param(room > 0 ? "max_tokens" : "messages", message),
                     "context_length_exceeded");
  }
  Request request = spec.request;
  BRISK_ASSIGN_OR_RETURN(request.adapter, model.adapter_named(spec.model));
  request.prompt = std::move(prompt);
  BRISK_RETURN_IF_ERROR(
      encode_bad_words(*model.tokenizer, spec.bad_words, &request.sampling.bad_words));
  BRISK_ASSIGN_OR_RETURN(request.grammar, compile(model, spec.structured));
  const int64_t max_tokens =
      spec.max_tokens.value_or(max_tokens_default > 0 ? max_tokens_default : room);
  request.max_tokens = static_cast<int>(std::min(max_tokens, room));
  if (request.min_tokens > request.max_tokens) {
    return bad_param("min_tokens", fmt::format("min_tokens must be at most max_tokens, which is {}",
                                               request.max_tokens));
  }
  return request;
}

}  // namespace brisk::api
