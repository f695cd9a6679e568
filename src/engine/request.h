// What a caller asks of the engine and what it gets back: token ids in, token ids out. Text lives
// outside (engine/text_stream.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/sched/tenant.h"

namespace brisk {

struct Adapter;         // engine/adapters.h
class CompiledGrammar;  // engine/grammar/compiled_grammar.h

// How a token is drawn from the logits, in this order: bans, bias, penalties, temperature, top-k,
// top-p, min-p, typical, draw. Names and meanings as in vLLM and the OpenAI API.
struct SamplingParams {
  double temperature = 1;  // 0: the most probable token
  int top_k = 0;           // 0: all
  double top_p = 1;
  double min_p = 0;      // relative to the most probable token
  double typical_p = 1;  // locally typical sampling (Meister et al. 2022, arXiv 2202.00666)
  double repetition_penalty = 1;
  double frequency_penalty = 0;
  double presence_penalty = 0;
  std::vector<std::pair<int32_t, float>> logit_bias{};
  std::vector<int32_t> allowed_tokens{};  // empty: all
  // The last token of each is impossible where the output ends with those before it.
  std::vector<std::vector<int32_t>> bad_words{};
  uint64_t seed = 0;
  int logprobs = -1;  // -1: none; k: of the chosen token and of the k most probable ones
};

inline constexpr int kLogprobsMax = 20;
inline constexpr int kChoicesMax = 128;
inline constexpr int kBadWordTokensMax = 32;  // of one

// Asks for the likeliest answers instead of drawn ones (engine/beam_search.h). Of the sampling
// parameters only logprobs mean anything to it; those that would change the model's say are
// refused.
struct BeamSearchParams {
  double length_penalty = 1;  // scores are sums of log-probabilities / tokens^length_penalty
};

// How the final hidden states of a prompt become one vector.
enum class Pooling : uint8_t {
  kMean,  // their mean
  kLast,  // the last token's
};

struct Request {
  std::vector<int32_t> prompt{};
  SamplingParams sampling;
  int choices = 1;  // "n": independent continuations of the prompt, or the beams of a search
  // The answers come when the search is over, the best as choice 0.
  std::optional<BeamSearchParams> beam_search{};
  int max_tokens = 16;  // per choice
  int min_tokens = 0;   // end tokens are impossible before
  std::vector<int32_t>
      stop_tokens{};  // each ends a choice; the model's own are added by the engine
  bool ignore_eos = false;
  int priority = 0;         // lower goes first
  bool background = false;  // nobody waits for its first token: it is never refused as too late
  Tenant tenant{};          // whom it belongs to: tenants share the engine fairly
  // Requests share cached prefixes only with others of the same salt.
  uint64_t cache_salt = 0;
  // -1: none; k: those of the prompt's tokens, and of the k most probable ones in their places.
  int prompt_logprobs = -1;
  // The prompt's final hidden states, normed and pooled, are wanted (Generation::embedding).
  // REQUIRES one choice of one token, which means nothing.
  std::optional<Pooling> embed{};
  // Of the engine's registry; null: the model as it is.
  std::shared_ptr<const Adapter> adapter{};
  // Which texts the answers may be; null: all. Of the model's vocabulary. An end token is possible
  // where a text may end, and the only possibility where it must.
  std::shared_ptr<const CompiledGrammar> grammar{};
};

enum class FinishReason : uint8_t {
  kStop,       // an end-of-generation or stop token
  kLength,     // max_tokens, or the model's context is full
  kCancelled,  // by the caller
  kError,      // the step failed; the request's status says why
};

struct TokenLogprob {
  int32_t token = -1;
  float logprob = 0;
};

// A token of the prompt, given those before it. The first has nothing before it: rank 0.
struct PromptLogprob {
  int32_t token = -1;
  float logprob = 0;
  int32_t rank = 0;                    // 1: the most probable; among equal ones lower ids first
  std::vector<TokenLogprob> top = {};  // Request::prompt_logprobs of them, most probable first
};

// One step's news of one choice. The token that stops a choice is reported too (with its finish).
struct TokenEvent {
  int choice = 0;
  int32_t token = -1;  // -1: only a finish
  float logprob = 0;   // natural logarithm, of the distribution before temperature and truncation
  std::vector<TokenLogprob> top = {};  // SamplingParams::logprobs of them, most probable first
  std::optional<FinishReason> finish = {};
};

// Known when a generation has ended, for usage and metrics.
struct GenerationStats {
  int choices = 1;
  int prompt_tokens = 0;
  int cached_tokens = 0;           // of the prompt, found in the prefix cache
  int completion_tokens = 0;       // all choices
  double queue_seconds = 0;        // submit until first scheduled
  double prefill_seconds = 0;      // first scheduled until first token
  double decode_seconds = 0;       // first token until the end
  double first_token_seconds = 0;  // submit until first token
};

}  // namespace brisk
