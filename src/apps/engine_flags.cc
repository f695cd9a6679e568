#include "apps/engine_flags.h"

#include <algorithm>
#include <map>
#include <string>

namespace brisk {

void add_kv_dtype_option(CLI::App& app, KvDType* dtype) {
  const std::map<std::string, KvDType> names = {{"auto", KvDType::kAuto}, {"f32", KvDType::kF32},
                                                {"f16", KvDType::kF16},   {"bf16", KvDType::kBF16},
                                                {"int8", KvDType::kInt8}, {"fp8", KvDType::kFp8}};
  const auto is_default = [&](const auto& name) { return name.second == *dtype; };
  app.add_option("--kv-dtype", *dtype,
                 "Element type of the KV cache: auto, f32, f16, bf16, int8 or fp8 (e4m3); the last "
                 "two with a scale for every token and head")
      ->transform(CLI::CheckedTransformer(names, CLI::ignore_case))
      ->type_name("TYPE")
      ->default_str(std::find_if(names.begin(), names.end(), is_default)->first);
}

void add_activations_option(CLI::App& app, Activations* activations) {
  const std::map<std::string, Activations> names = {{"int8", Activations::kInt8},
                                                    {"f32", Activations::kF32}};
  app.add_option("--activations", *activations,
                 "Inputs of products with quantised weights: int8 (rounded in groups of 32, fast) "
                 "or f32 (the yardstick)")
      ->transform(CLI::CheckedTransformer(names, CLI::ignore_case))
      ->type_name("TYPE")
      ->default_str("int8");
}

}  // namespace brisk
