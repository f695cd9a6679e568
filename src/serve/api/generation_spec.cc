#include "serve/api/generation_spec.h"

#include <xxhash.h>

#include <limits>
#include <random>

#include "base/status.h"
#include "engine/request_validation.h"
#include "engine/text_stream.h"
#include "serve/api/errors.h"

namespace brisk::api {
namespace {

constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr double kTemperatureMax = 2;
constexpr double kPenaltyMax = 2;
constexpr double kRepetitionPenaltyMax = 100;
constexpr double kBiasMax = 100;
constexpr size_t kBadWordsMax = kBadWordSequencesMax / 2;
constexpr std::string_view kNotYet = "is not supported by this server yet";

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

void read_sampling(Fields& fields, const GenerationDefaults& defaults, SamplingParams& sampling) {
  sampling.temperature =
      fields.number("temperature", defaults.temperature.value_or(1), {0, kTemperatureMax});
  sampling.top_p = fields.number("top_p", defaults.top_p.value_or(1), {0, 1});
  if (sampling.top_p == 0) fields.fail("top_p", "must be above 0");
  const int64_t top_k = fields.integer("top_k", defaults.top_k.value_or(0), {-1, kInt32Max});
  sampling.top_k = static_cast<int>(top_k < 0 ? 0 : top_k);
  sampling.min_p = fields.number("min_p", defaults.min_p.value_or(0), {0, 1});
  sampling.typical_p = fields.number("typical_p", 1, {0, 1});
  if (sampling.typical_p == 0) fields.fail("typical_p", "must be above 0");
  sampling.repetition_penalty = fields.number(
      "repetition_penalty", defaults.repetition_penalty.value_or(1), {0, kRepetitionPenaltyMax});
  if (sampling.repetition_penalty == 0) fields.fail("repetition_penalty", "must be above 0");
  sampling.frequency_penalty = fields.number("frequency_penalty", 0, {-kPenaltyMax, kPenaltyMax});
  sampling.presence_penalty = fields.number("presence_penalty", 0, {-kPenaltyMax, kPenaltyMax});
}

void read_seed(Fields& fields, SamplingParams& sampling) {
  sampling.seed = random_seed();
  const Json* json = fields.find("seed");
  if (json == nullptr) return;
  int64_t value = 0;
  if (json->is_number_unsigned()) {
    sampling.seed = json->get<uint64_t>();
  } else if (read_integer(*json, value)) {
    sampling.seed = static_cast<uint64_t>(value);
  } else {
    fields.fail("seed", "must be an integer");
  }
}

// {"50256": -100}: token ids are strings, as JSON keys are.
void read_logit_bias(Fields& fields, SamplingParams& sampling) {
  const Json* json = fields.find("logit_bias");
  if (json == nullptr) return;
  if (!json->is_object() || json->size() > kLogitBiasesMax) {
    return fields.fail("logit_bias",
                       fmt::format("must be an object of at most {} token ids", kLogitBiasesMax));
  }
  for (const auto& [key, value] : json->items()) {
    const bool digits =
        !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    const bool bias = value.is_number() && std::abs(value.get<double>()) <= kBiasMax;
    if (!digits || !bias) {
      return fields.fail("logit_bias", "must map token ids to numbers between -100 and 100");
    }
    sampling.logit_bias.emplace_back(std::stoi(key), value.get<float>());
  }
}

void read_allowed_tokens(Fields& fields, SamplingParams& sampling) {
  if (fields.find("allowed_token_ids") == nullptr) return;
  const std::vector<int64_t> tokens = fields.integers("allowed_token_ids", {0, kInt32Max});
  if (tokens.empty() || std::ssize(tokens) > kAllowedTokensMax) {
    return fields.fail("allowed_token_ids",
                       fmt::format("must hold 1 to {} token ids", kAllowedTokensMax));
  }
  for (const int64_t token : tokens) {
    sampling.allowed_tokens.push_back(static_cast<int32_t>(token));
  }
}

void read_bad_words(Fields& fields, GenerationSpec& spec) {
  spec.bad_words = fields.strings("bad_words");
  if (spec.bad_words.size() > kBadWordsMax) {
    fields.fail("bad_words", fmt::format("may hold at most {} words", kBadWordsMax));
  }
  for (const std::string& word : spec.bad_words) {
    if (word.find_first_not_of(' ') == std::string::npos) {
      fields.fail("bad_words", "must hold words of more than spaces");
    }
  }
}

void read_prompt_logprobs(Fields& fields, GenerationSpec& spec) {
  if (fields.find("prompt_logprobs") == nullptr) return;
  spec.request.prompt_logprobs =
      static_cast<int>(fields.integer("prompt_logprobs", 0, {0, kLogprobsMax}));
  if (spec.stream) fields.fail("prompt_logprobs", "cannot be streamed; set stream to false");
}

void read_stops(Fields& fields, GenerationSpec& spec) {
  spec.stop = fields.strings("stop");
  if (const auto stops = StopStrings::create(spec.stop); !stops.ok()) {
    fields.take(bad_param("stop", fmt::format("stop: {}", message_of(stops.status()))));
  }
  const std::vector<int64_t> tokens = fields.integers("stop_token_ids", {0, kInt32Max});
  if (std::ssize(tokens) > kStopTokensMax) {
    fields.fail("stop_token_ids", fmt::format("may hold at most {} ids", kStopTokensMax));
  }
  for (const int64_t token : tokens) {
    spec.request.stop_tokens.push_back(static_cast<int32_t>(token));
  }
  spec.include_stop = fields.boolean("include_stop_str_in_output", false);
}

// As in vLLM: the beams are the choices that were asked for. A search goes by the model's own
// probabilities: a penalty that is only the checkpoint's habit is left out.
void read_beam_search(Fields& fields, Request& request) {
  const double length_penalty =
      fields.number("length_penalty", 1, {-kLengthPenaltyMax, kLengthPenaltyMax});
  if (!fields.boolean("use_beam_search", false)) return;
  request.beam_search = {.length_penalty = length_penalty};
  if (fields.find("repetition_penalty") == nullptr) request.sampling.repetition_penalty = 1;
}

// Other processes draw other secrets, so that nobody can look for salts that collide.
void read_cache_salt(Fields& fields, Request& request) {
  if (fields.find("cache_salt") == nullptr) return;
  const std::string salt = fields.string("cache_salt", "");
  if (salt.empty()) return fields.fail("cache_salt", "must not be empty");
  static const uint64_t secret = random_seed();
  request.cache_salt = XXH3_64bits_withSeed(salt.data(), salt.size(), secret);
}

void read_stream(Fields& fields, GenerationSpec& spec) {
  spec.stream = fields.boolean("stream", false);
  const Json* json = fields.find("stream_options");
  if (json == nullptr) return;
  if (!json->is_object()) return fields.fail("stream_options", "must be an object");
  if (!spec.stream) return fields.fail("stream_options", "is only allowed when 'stream' is true");
  Fields options(*json, "stream_options.");
  spec.include_usage = options.boolean("include_usage", false);
  options.refuse("continuous_usage_stats", kNotYet);
  options.ignore("include_obfuscation");
  fields.take(options.finish());
}

void read_the_rest(Fields& fields) {
  for (const char* name :
       {"store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prediction", "spaces_between_special_tokens"}) {
    fields.ignore(name);
  }
  fields.refuse("logits_processors", kNotYet);
}

}  // namespace

GenerationSpec read_generation_spec(Fields& fields, std::string_view body,
                                    const GenerationDefaults& defaults) {
  GenerationSpec spec;
  spec.model = fields.string("model", "");
  read_sampling(fields, defaults, spec.request.sampling);
  read_seed(fields, spec.request.sampling);
  read_logit_bias(fields, spec.request.sampling);
  read_allowed_tokens(fields, spec.request.sampling);
  read_bad_words(fields, spec);
  read_stops(fields, spec);
  read_stream(fields, spec);
  read_prompt_logprobs(fields, spec);
  spec.structured = read_structured_output(fields, body);
  spec.request.choices = static_cast<int>(fields.integer("n", 1, {1, kChoicesMax}));
  read_beam_search(fields, spec.request);
  spec.request.min_tokens = static_cast<int>(fields.integer("min_tokens", 0, {0, kInt32Max}));
  spec.request.ignore_eos = fields.boolean("ignore_eos", false);
  spec.request.priority =
      static_cast<int>(fields.integer("priority", 0, {-kInt32Max - 1, kInt32Max}));
  spec.user = fields.string("user", "");
  read_cache_salt(fields, spec.request);
  spec.skip_special_tokens = fields.boolean("skip_special_tokens", true);
  if (fields.find("max_tokens") != nullptr) {
    spec.max_tokens = static_cast<int>(fields.integer("max_tokens", 1, {0, kInt32Max}));
  }
  if (fields.find("truncate_prompt_tokens") != nullptr) {
    spec.truncate_prompt_tokens = fields.integer("truncate_prompt_tokens", -1, {-1, kInt32Max});
    if (spec.truncate_prompt_tokens == 0) {
      fields.fail("truncate_prompt_tokens", "must be -1 or at least 1");
    }
  }
  read_the_rest(fields);
  return spec;
}

}  // namespace brisk::api
