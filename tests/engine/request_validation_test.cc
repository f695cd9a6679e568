#include "engine/request_validation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "base/status.h"

namespace brisk {
namespace {

Request good() {
  Request request;
  request.prompt = {1, 2, 3};
  return request;
}

std::string refusal(const std::function<void(Request*)>& change) {
  Request request = good();
  change(&request);
  const absl::Status status = validate(request, 100);
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status));
  return std::string(message_of(status));
}

TEST(ValidateRequest, AcceptsTheEndsOfEveryRange) {
  EXPECT_EQ(refusal([](Request*) {}), "");
  EXPECT_EQ(refusal([](Request* r) {
              r->prompt = {0, 99};
              r->choices = kChoicesMax;
              r->max_tokens = r->min_tokens = 1;
              r->stop_tokens = {99};
              r->sampling = {.temperature = 0,
                             .top_k = -1,
                             .top_p = 1,
                             .min_p = 1,
                             .typical_p = 1,
                             .repetition_penalty = 0.01,
                             .frequency_penalty = -2,
                             .presence_penalty = 2,
                             .logit_bias = {{99, -100.0f}, {0, 100.0f}},
                             .allowed_tokens = {0, 99},
                             .bad_words = {std::vector<int32_t>(kBadWordTokensMax, 99)},
                             .seed = 0,
                             .logprobs = kLogprobsMax};
            }),
            "");
}

TEST(ValidateRequest, NamesTheFieldThatIsOutOfRange) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const auto starts = [](const std::string& text, const std::string& name) {
    EXPECT_TRUE(text.starts_with(name + " ")) << name << ": '" << text << "'";
  };
  for (const double bad : {-0.1, nan, inf}) {
    starts(refusal([&](Request* r) { r->sampling.temperature = bad; }), "temperature");
  }
  for (const double bad : {0.0, -1.0, 1.01, nan}) {
    starts(refusal([&](Request* r) { r->sampling.top_p = bad; }), "top_p");
    starts(refusal([&](Request* r) { r->sampling.typical_p = bad; }), "typical_p");
  }
  for (const double bad : {-0.01, 1.01, nan}) {
    starts(refusal([&](Request* r) { r->sampling.min_p = bad; }), "min_p");
  }
  for (const double bad : {0.0, -1.0, nan, inf}) {
    starts(refusal([&](Request* r) { r->sampling.repetition_penalty = bad; }),
           "repetition_penalty");
  }
  for (const double bad : {-2.1, 2.1, nan}) {
    starts(refusal([&](Request* r) { r->sampling.frequency_penalty = bad; }), "frequency_penalty");
    starts(refusal([&](Request* r) { r->sampling.presence_penalty = bad; }), "presence_penalty");
  }
  starts(refusal([](Request* r) { r->sampling.top_k = -2; }), "top_k");
  starts(refusal([](Request* r) { r->sampling.logprobs = 21; }), "logprobs");
  starts(refusal([](Request* r) { r->sampling.logprobs = -2; }), "logprobs");
  starts(refusal([](Request* r) { r->sampling.logit_bias = {{100, 1.0f}}; }), "logit_bias");
  starts(refusal([](Request* r) { r->sampling.logit_bias = {{1, 101.0f}}; }), "logit_bias");
  starts(refusal([](Request* r) { r->sampling.logit_bias.resize(kLogitBiasesMax + 1); }),
         "logit_bias");
  starts(refusal([](Request* r) { r->sampling.allowed_tokens = {100}; }), "allowed_token_ids");
  starts(refusal([](Request* r) { r->sampling.allowed_tokens.resize(kAllowedTokensMax + 1); }),
         "allowed_token_ids");
  starts(refusal([](Request* r) { r->sampling.bad_words = {{1, -1}}; }), "bad_words");
  starts(refusal([](Request* r) { r->sampling.bad_words = {{1}, {}}; }), "bad_words");
  starts(refusal([](Request* r) {
           r->sampling.bad_words = {{1}}, r->sampling.bad_words[0].resize(kBadWordTokensMax + 1);
         }),
         "bad_words");
  starts(refusal([](Request* r) { r->sampling.bad_words.assign(kBadWordSequencesMax + 1, {1}); }),
         "bad_words");
  starts(refusal([](Request* r) { r->prompt_logprobs = 21; }), "prompt_logprobs");
  starts(refusal([](Request* r) { r->prompt_logprobs = -2; }), "prompt_logprobs");
  starts(refusal([](Request* r) { r->prompt = {}; }), "prompt");
  starts(refusal([](Request* r) { r->prompt = {1, 100}; }), "prompt");
  starts(refusal([](Request* r) { r->prompt = {-1}; }), "prompt");
  starts(refusal([](Request* r) { r->choices = 0; }), "n");
  starts(refusal([](Request* r) { r->choices = 129; }), "n");
  starts(refusal([](Request* r) { r->max_tokens = 0; }), "max_tokens");
  starts(refusal([](Request* r) { r->min_tokens = 17; }), "min_tokens");
  starts(refusal([](Request* r) { r->min_tokens = -1; }), "min_tokens");
  starts(refusal([](Request* r) { r->stop_tokens = {100}; }), "stop_token_ids");
  starts(refusal([](Request* r) { r->stop_tokens.assign(kStopTokensMax + 1, 1); }),
         "stop_token_ids");
}

}  // namespace
}  // namespace brisk
