#include <array>

#include "base/status.h"
#include "compress/quantize/quantize.h"

namespace brisk {
namespace {

struct Row {
  std::string_view name;
  QuantizeMethod method;
};

constexpr std::array<Row, 8> kMethods = {{
    {"nearest", {Smoothing::kNone, RoundingMethod::kNearest}},
    {"search", {Smoothing::kNone, RoundingMethod::kSearch}},
    {"importance", {Smoothing::kNone, RoundingMethod::kImportance}},
    {"gptq", {Smoothing::kNone, RoundingMethod::kGptq}},
    {"awq", {Smoothing::kAwq, RoundingMethod::kImportance}},
    {"smoothquant", {Smoothing::kSmoothQuant, RoundingMethod::kNearest}},
    {"awq+gptq", {Smoothing::kAwq, RoundingMethod::kGptq}},
    {"smoothquant+gptq", {Smoothing::kSmoothQuant, RoundingMethod::kGptq}},
}};

}  // namespace

std::string quantize_method_choices() {
  std::string names;
  for (const Row& row : kMethods) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

absl::StatusOr<QuantizeMethod> parse_quantize_method(std::string_view name) {
  for (const Row& row : kMethods) {
    if (row.name == name) return row.method;
  }
  return invalid_input("there is no method \"{}\"; choose one of: {}", name,
                       quantize_method_choices());
}

}  // namespace brisk
