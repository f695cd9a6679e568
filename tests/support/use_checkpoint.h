// What the fuzzers and the tests of damaged files do with a file that could be read: recognise the
// model, bind its weights, encode a text, run a step of two tokens and draw from its logits.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/check.h"
#include "engine/sample/sampler.h"
#include "model/model.h"
#include "tests/support/decoder_harness.h"

namespace brisk {

inline void use_tokenizer(const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids =
      tokenizer.encode("a b\xC3\xA9", {.add_special = true, .parse_special = true});
  for (const int32_t id : ids) BRISK_CHECK(id >= 0 && id < tokenizer.vocab_size());
  tokenizer.decode(ids, /*special=*/true);
}

// The first two tokens of a text, and what is drawn after them.
inline void run_step(const Model& model, KvElement element) {
  const int32_t vocab = model.spec.vocab_size;
  std::vector<int32_t> tokens = {0, vocab - 1};
  tokens.resize(static_cast<size_t>(std::min(2, model.spec.context_length)));
  DecoderHarness harness(model, {.element = element, .rows_max = 2, .blocks = 1});
  const std::vector<float> logits = harness.feed(tokens);
  BRISK_CHECK(logits.size() == tokens.size() * static_cast<size_t>(vocab));
  SamplerScratch scratch;
  const SamplingParams params = {.top_k = 5, .top_p = 0.9, .min_p = 0.01, .logprobs = 3};
  const auto drawn = sample({.logits = {logits.data(), static_cast<size_t>(vocab)},
                             .params = &params,
                             .history = nullptr,
                             .position = 1},
                            &scratch);
  if (drawn.ok()) BRISK_CHECK(drawn->token >= 0 && drawn->token < vocab);
}

// Ok, or why the checkpoint was refused. REQUIRES: it is small, and so is what its sizes make a
// step allocate.
inline absl::Status use_checkpoint(const absl::StatusOr<std::shared_ptr<Checkpoint>>& checkpoint) {
  const auto model = checkpoint.ok()
                         ? make_model(*checkpoint, "small", {.tokenizer_path = "", .threads = 1})
                         : checkpoint.status();
  if (!model.ok()) {
    BRISK_CHECK(!model.status().message().empty());
    return model.status();
  }
  if ((*model)->tokenizer != nullptr) use_tokenizer(*(*model)->tokenizer);
  run_step(**model, KvElement::kF32);
  run_step(**model, KvElement::kInt8);
  run_step(**model, KvElement::kInt4);
  return absl::OkStatus();
}

}  // namespace brisk
