#include "engine/request_validation.h"

#include <cmath>

#include "base/status.h"

namespace brisk {
namespace {

bool is_token(int32_t token, int vocab_size) { return token >= 0 && token < vocab_size; }

// NaN is in no range.
bool is_within(double value, double low, double high) { return value >= low && value <= high; }

absl::Status validate_allowed_tokens(const SamplingParams& params, int vocab_size) {
  const std::vector<int32_t>& tokens = params.allowed_tokens;
  if (tokens.size() > static_cast<size_t>(kAllowedTokensMax)) {
    return invalid_input("allowed_token_ids has {} entries; at most {} are allowed", tokens.size(),
                         kAllowedTokensMax);
  }
  for (const int32_t token : tokens) {
    if (is_token(token, vocab_size)) continue;
    return invalid_input("allowed_token_ids has token {}; ids are between 0 and {}", token,
                         vocab_size - 1);
  }
  return absl::OkStatus();
}

absl::Status validate_bad_words(const SamplingParams& params, int vocab_size) {
  if (params.bad_words.size() > static_cast<size_t>(kBadWordSequencesMax)) {
    return invalid_input("bad_words are {} sequences of tokens; at most {} are allowed",
                         params.bad_words.size(), kBadWordSequencesMax);
  }
  for (const std::vector<int32_t>& word : params.bad_words) {
    if (word.empty() || word.size() > static_cast<size_t>(kBadWordTokensMax)) {
      return invalid_input("bad_words has one of {} tokens; each must have 1 to {}", word.size(),
                           kBadWordTokensMax);
    }
    for (const int32_t token : word) {
      if (is_token(token, vocab_size)) continue;
      return invalid_input("bad_words has token {}; ids are between 0 and {}", token,
                           vocab_size - 1);
    }
  }
  return absl::OkStatus();
}

absl::Status validate_logit_bias(const SamplingParams& params, int vocab_size) {
  if (params.logit_bias.size() > static_cast<size_t>(kLogitBiasesMax)) {
    return invalid_input("logit_bias has {} entries; at most {} are allowed",
                         params.logit_bias.size(), kLogitBiasesMax);
  }
  for (const auto& [token, bias] : params.logit_bias) {
    if (!is_token(token, vocab_size)) {
      return invalid_input("logit_bias names token {}; ids are between 0 and {}", token,
                           vocab_size - 1);
    }
    if (!is_within(static_cast<double>(bias), -100, 100)) {
      return invalid_input("logit_bias of token {} is {}; it must be between -100 and 100", token,
                           bias);
    }
  }
  return absl::OkStatus();
}

absl::Status validate_beam_search(const Request& request) {
  if (request.grammar != nullptr) {
    return invalid_input("a beam search cannot be combined with structured output");
  }
  const double penalty = request.beam_search->length_penalty;
  if (!is_within(penalty, -kLengthPenaltyMax, kLengthPenaltyMax)) {
    return invalid_input("length_penalty is {}; it must be between -{} and {}", penalty,
                         kLengthPenaltyMax, kLengthPenaltyMax);
  }
  const SamplingParams& params = request.sampling;
  const bool changes_logits = !params.logit_bias.empty() || !params.allowed_tokens.empty() ||
                              !params.bad_words.empty() || params.repetition_penalty != 1 ||
                              params.frequency_penalty != 0 || params.presence_penalty != 0;
  if (!changes_logits) return absl::OkStatus();
  return invalid_input(
      "a beam search goes by the model's own probabilities: it takes no logit_bias, "
      "allowed_token_ids, bad_words or penalties");
}

absl::Status validate(const SamplingParams& params, int vocab_size) {
  if (!(params.temperature >= 0) || !std::isfinite(params.temperature)) {
    return invalid_input("temperature is {}; it must be 0 or more", params.temperature);
  }
  if (params.top_k < -1) {
    return invalid_input("top_k is {}; it must be 1 or more, or 0 or -1 for all tokens",
                         params.top_k);
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return invalid_input("top_p is {}; it must be above 0 and at most 1", params.top_p);
  }
  if (!is_within(params.min_p, 0, 1)) {
    return invalid_input("min_p is {}; it must be between 0 and 1", params.min_p);
  }
  if (!(params.typical_p > 0 && params.typical_p <= 1)) {
    return invalid_input("typical_p is {}; it must be above 0 and at most 1", params.typical_p);
  }
  if (!(params.repetition_penalty > 0) || !std::isfinite(params.repetition_penalty)) {
    return invalid_input("repetition_penalty is {}; it must be above 0", params.repetition_penalty);
  }
  if (!is_within(params.frequency_penalty, -2, 2)) {
    return invalid_input("frequency_penalty is {}; it must be between -2 and 2",
                         params.frequency_penalty);
  }
  if (!is_within(params.presence_penalty, -2, 2)) {
    return invalid_input("presence_penalty is {}; it must be between -2 and 2",
                         params.presence_penalty);
  }
  if (params.logprobs < -1 || params.logprobs > kLogprobsMax) {
    return invalid_input("logprobs is {}; it must be between 0 and {}", params.logprobs,
                         kLogprobsMax);
  }
  BRISK_RETURN_IF_ERROR(validate_logit_bias(params, vocab_size));
  BRISK_RETURN_IF_ERROR(validate_allowed_tokens(params, vocab_size));
  return validate_bad_words(params, vocab_size);
}

}  // namespace

absl::Status validate(const Request& request, int vocab_size) {
  if (request.prompt.empty()) return invalid_input("prompt is empty; it needs at least one token");
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (!is_token(request.prompt[i], vocab_size)) {
      return invalid_input("prompt has token {} at position {}; ids are between 0 and {}",
                           request.prompt[i], i, vocab_size - 1);
    }
  }
  if (request.beam_search.has_value()) BRISK_RETURN_IF_ERROR(validate_beam_search(request));
  if (request.grammar != nullptr && request.ignore_eos) {
    return invalid_input("ignore_eos cannot be combined with structured output, which has an end");
  }
  if (request.choices < 1 || request.choices > kChoicesMax) {
    return invalid_input("n is {}; it must be between 1 and {}", request.choices, kChoicesMax);
  }
  if (request.max_tokens < 1) {
    return invalid_input("max_tokens is {}; it must be 1 or more", request.max_tokens);
  }
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens) {
    return invalid_input("min_tokens is {}; it must be between 0 and max_tokens ({})",
                         request.min_tokens, request.max_tokens);
  }
  if (request.embed.has_value() && (request.choices != 1 || request.max_tokens != 1)) {
    return invalid_input("a request for an embedding has one choice of one token");
  }
  if (request.prompt_logprobs < -1 || request.prompt_logprobs > kLogprobsMax) {
    return invalid_input("prompt_logprobs is {}; it must be between 0 and {}",
                         request.prompt_logprobs, kLogprobsMax);
  }
  if (request.stop_tokens.size() > static_cast<size_t>(kStopTokensMax)) {
    return invalid_input("stop_token_ids has {} entries; at most {} are allowed",
                         request.stop_tokens.size(), kStopTokensMax);
  }
  for (const int32_t token : request.stop_tokens) {
    if (!is_token(token, vocab_size)) {
      return invalid_input("stop_token_ids has token {}; ids are between 0 and {}", token,
                           vocab_size - 1);
    }
  }
  if (request.tenant.weight < 1 || request.tenant.weight > kTenantWeightMax) {
    return invalid_input("tenant has weight {}; it must be between 1 and {}", request.tenant.weight,
                         kTenantWeightMax);
  }
  return validate(request.sampling, vocab_size);
}

}  // namespace brisk
