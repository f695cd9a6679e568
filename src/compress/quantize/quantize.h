// Rounds the weights of a checkpoint to a smaller format, layer by layer, with what calibration
// texts tell of its inputs.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/calibrate/windows.h"
#include "compress/quantize/smooth.h"
#include "compress/quantize/smooth_kv.h"
#include "model/checkpoint/format_choice.h"

namespace brisk {

// How a weight's code is chosen.
enum class RoundingMethod : uint8_t {
  kNearest,     // on a grid that covers each run of weights
  kSearch,      // on the grid with the least squared error, which may clip
  kImportance,  // the same, errors weighed by the mean square of the input they meet
  kGptq,        // one input after the other, later ones making up for earlier ones' errors
};

struct QuantizeMethod {
  Smoothing smoothing = Smoothing::kNone;
  RoundingMethod rounding = RoundingMethod::kImportance;

  bool needs_calibration() const {
    return smoothing != Smoothing::kNone || rounding >= RoundingMethod::kImportance;
  }
};

// "nearest", "search", "importance", "gptq", "awq" (with importance), "smoothquant" (with nearest),
// "awq+gptq", "smoothquant+gptq". Errors: InvalidArgument with the names there are.
absl::StatusOr<QuantizeMethod> parse_quantize_method(std::string_view name);
std::string quantize_method_choices();

struct QuantizeOptions {
  std::string scheme = "q4_0";  // a FormatChoice or a scaled_scheme
  // Not 0: instead of the scheme a format for each matrix, this many bits a weight on average, by
  // what each does to the predictions (mixed.h). Needs calibration texts.
  double bits = 0;
  QuantizeMethod method;
  // Weights are smoothed for a KV cache of that format (smooth_kv.h). Needs calibration texts.
  std::optional<KvElement> kv_calibration;
  std::vector<Document> documents;  // to calibrate with
  CalibrationOptions calibration;
  double damping = 0.01;       // of GPTQ
  std::string tokenizer_path;  // see OpenOptions
  int threads = 0;             // 0: all
  // Where finished layers are kept until the end, see EditJournal; empty: in memory.
  std::string work_directory;
  // Told what is done, of how many, of which stage; may be null.
  std::function<void(std::string_view stage, int64_t done, int64_t total)> on_progress;
};

// What became of one matrix.
struct QuantizedMatrix {
  std::string name;
  std::string format;  // "q4_0", "int4-g128", "bf16"
  int64_t values = 0;
  double bits = 0;            // of a weight
  double relative_error = 0;  // sum of squared differences over sum of squares
};

struct QuantizeResult {
  uint64_t bytes = 0;                     // of the weights file
  std::vector<QuantizedMatrix> matrices;  // of layers, then embedding and head
  double bits_per_weight = 0;             // of those matrices
  int64_t calibration_tokens = 0;
  std::vector<KvLoss> kv;  // of each layer; empty: they were not smoothed for a KV cache
};

// `in`: any checkpoint in float formats, or in others whose values are then rounded again; `out`: a
// name that ends in .gguf for block formats, a directory for scaled_schemes, either for floats.
// What is stored is the codes and scales that the method chose. Memory: one layer as f32, what is
// known of its inputs and the states of the calibration tokens; without a work directory also the
// weights that are written. With one, a run goes on where an earlier one with the same arguments
// was killed. A pure function of its input: the same bytes with any number of threads, killed or
// not. Errors: InvalidArgument for weights that are not
// finite, naming the tensor, and for formats that `out` or the model's rows cannot have.
absl::StatusOr<QuantizeResult> quantize_checkpoint(const std::string& in, const std::string& out,
                                                   const QuantizeOptions& options);

}  // namespace brisk
