// Multiple choice by likelihood, in the manner of EleutherAI's lm-evaluation-harness: the model
// writes nothing; the choice that it finds most likely after the query is its answer.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/kv_memory.h"
#include "model/lora/adapter.h"
#include "model/model.h"

namespace brisk {

struct ChoiceQuestion {
  std::string query;
  std::vector<std::string> choices;  // at least two, none empty
  size_t gold = 0;                   // the right one
};

// Lines of {"query": "..", "choices": ["..", ".."], "gold": 0}; other members are ignored. At most
// `limit` of them (0: all). Errors: InvalidArgument naming the line, or that there is none.
absl::StatusOr<std::vector<ChoiceQuestion>> parse_choice_questions(std::string_view text,
                                                                   size_t limit);

struct ChoiceOptions {
  int threads = 0;      // 0: all
  int64_t context = 0;  // tokens; 0: the model's context, at most 2,048
  KvDType kv_dtype = KvDType::kF32;
  std::shared_ptr<const LoraAdapter> adapter = nullptr;     // of the model; null: none
  std::function<void(int64_t done)> on_progress = nullptr;  // questions
};

struct ChoiceAnswer {
  std::vector<double> nats;       // (choices): -ln p(choice | query)
  size_t likeliest = 0;           // the harness's acc: fewest nats
  size_t likeliest_per_byte = 0;  // its acc_norm: fewest nats for each byte of the choice
  bool is_cut = false;            // the query's beginning did not fit into the context
};

// A choice follows the query after one space, unless either has blanks there already: these are
// predicted with it. Its tokens are those that the text of both has more than the query alone.
// Errors: InvalidArgument when the model has no tokenizer, or a choice fills the context.
absl::StatusOr<std::vector<ChoiceAnswer>> answer_choices(
    const Model& model, const std::vector<ChoiceQuestion>& questions, const ChoiceOptions& options);

}  // namespace brisk
