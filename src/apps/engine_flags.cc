#include "apps/engine_flags.h"

#include <map>
#include <string>

namespace brisk {
namespace {

// An option whose value is one of a few names; the help lists them and shows the present one.
template <class Value>
void add_choice(CLI::App& app, const std::string& name, Value* value,
                const std::map<std::string, Value>& names, const std::string& description) {
  std::vector<std::string> all;
  std::string present;
  for (const auto& [each, meaning] : names) {
    all.push_back(each);
    if (meaning == *value) present = each;
  }
  app.add_option_function<std::string>(
         name, [value, names](const std::string& given) { *value = names.at(given); }, description)
      ->transform(CLI::IsMember(all, CLI::ignore_case))
      ->default_str(present);
}

}  // namespace

void add_kv_dtype_option(CLI::App& app, KvDType* dtype) {
  add_choice(app, "--kv-dtype", dtype,
             {{"auto", KvDType::kAuto},
              {"f32", KvDType::kF32},
              {"f16", KvDType::kF16},
              {"bf16", KvDType::kBF16},
              {"int8", KvDType::kInt8},
              {"fp8", KvDType::kFp8},
              {"int4", KvDType::kInt4}},
             "element type of the KV cache; int8 and fp8 (e4m3) with a scale for every token and "
             "head, int4 with a scale and a minimum for every 32 values of them");
}

void add_activations_option(CLI::App& app, Activations* activations) {
  add_choice(app, "--activations", activations,
             {{"int8", Activations::kInt8}, {"f32", Activations::kF32}},
             "inputs of products with quantised weights: int8 (rounded in groups of 32, fast) or "
             "f32 (the yardstick)");
}

void add_policy_option(CLI::App& app, BatchPolicy* policy) {
  add_choice(app, "--policy", policy,
             {{"split-fuse", BatchPolicy::kSplitFuse},
              {"iteration", BatchPolicy::kIteration},
              {"static", BatchPolicy::kStatic}},
             "who shares a step: decoding with chunks of prompts, either, or a batch at a time");
}

}  // namespace brisk
