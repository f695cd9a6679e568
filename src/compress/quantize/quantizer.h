// Rounds a model's matrices in order, each layer seeing what the rounded ones before it make of the
// calibration texts.
#pragma once

#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "compress/calibrate/input_statistics.h"
#include "compress/calibrate/layer_stream.h"
#include "compress/edit/checkpoint_edit.h"
#include "compress/edit/working_matrix.h"
#include "compress/quantize/choose_formats.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/quantize.h"

namespace brisk {

// One thread at a time.
class Quantizer {
 public:
  // `options`, `model` and `journal`, which may be null, outlive it.
  Quantizer(const QuantizeOptions& options, Model& model, EditJournal* journal,
            int64_t calibration_tokens);

  void set_formats(TensorFormats formats) { formats_ = std::move(formats); }

  // Takes what a step of an earlier run says of itself. Errors: InvalidArgument where it is none.
  absl::Status resume(const Json& details);

  // Chooses a format for each matrix by what each does to the predictions (mixed.h), unless an
  // earlier run did.
  absl::Status mix_formats(const TokenWindows& windows, ThreadTeam& team);

  // Layers, then embedding and head. Null `stream`: nothing is calibrated. Errors: see
  // quantize_checkpoint.
  absl::Status run(LayerStream* stream, ThreadTeam& team);

  const CheckpointEdit& edit() const { return edit_; }
  std::vector<QuantizedMatrix> take_matrices() { return std::move(matrices_); }
  std::vector<KvLoss> take_kv() { return std::move(kv_); }

 private:
  absl::Status commit(Json details);
  absl::Status quantize_layer(size_t layer, ThreadTeam& team);
  absl::Status smooth(size_t layer, std::vector<WorkingMatrix>& matrices, Json& details,
                      ThreadTeam& team);
  absl::Status store(WorkingMatrix& matrix, const InputStatistics* statistics,
                     const InverseFactor* factor, ThreadTeam& team);
  absl::Status quantize_tables(LayerStream* stream, ThreadTeam& team);
  absl::Status quantize_table(const NamedTensor& named, const MatrixFormat& format,
                              const InputStatistics* statistics, ThreadTeam& team);
  void report(const LayerMatrix& place, const MatrixFormat& format, double error);
  const MatrixFormat& format_of_matrix(const WorkingMatrix& matrix) const {
    return formats_.at(&matrix.place.tensor->tensor);
  }

  const QuantizeOptions& options_;
  Model& model_;
  TensorFormats formats_;
  bool is_mixed_ = false;
  CheckpointEdit edit_;
  InputCollector collector_;
  std::vector<QuantizedMatrix> matrices_;
  std::vector<KvLoss> kv_;
  size_t reported_ = 0;  // of matrices_, to the journal
  size_t first_layer_ = 0;
  absl::flat_hash_set<std::string> finished_tables_;
};

}  // namespace brisk
