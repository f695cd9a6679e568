#include "engine/store/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "compute/quant/format.h"

namespace brisk {
namespace {

// To be raised whenever an operation's bits change.
constexpr uint64_t kNumerics = 1;
constexpr size_t kSampleBytes = 4096;

class Digest {
 public:
  Digest() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(const void* data, size_t bytes) { XXH3_64bits_update(state_.get(), data, bytes); }
  void add(uint64_t number) { add(&number, sizeof number); }
  void add(std::string_view text) {
    add(text.size());
    add(text.data(), text.size());
  }
  uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// The beginning, the middle and the end.
void add_samples(std::span<const std::byte> bytes, Digest* digest) {
  digest->add(bytes.size());
  const size_t size = std::min(kSampleBytes, bytes.size());
  for (const size_t begin : {size_t{0}, (bytes.size() - size) / 2, bytes.size() - size}) {
    digest->add(bytes.data() + begin, size);
  }
}

// Likewise of values, for matrices whose scales lie apart from their codes.
void add_value_samples(const Tensor& tensor, Digest* digest) {
  float values[kSampleBytes / sizeof(float)];
  const int64_t size = std::min(std::ssize(values), tensor.values());
  for (const int64_t begin : {int64_t{0}, (tensor.values() - size) / 2, tensor.values() - size}) {
    decode_values(tensor, begin, size, values);
    digest->add(values, static_cast<size_t>(size) * sizeof(float));
  }
}

}  // namespace

uint64_t kv_fingerprint(const Model& model, KvElement element) {
  Digest digest;
  digest.add(kNumerics);
  digest.add(std::string_view(model.kernels->name));
  digest.add(static_cast<uint64_t>(element));
  digest.add(static_cast<uint64_t>(model.spec.context_length));  // some rotations depend on it
  digest.add(model.weights.layers.front().q.weight.takes_rounded_input() ? 1 : 0);
  digest.add(model.checkpoint->metadata.dump(-1, ' ', true, Json::error_handler_t::replace));
  for (const NamedTensor& each : model.checkpoint->tensors) {
    digest.add(each.name);
    digest.add(static_cast<uint64_t>(each.tensor.dtype));
    for (const int64_t extent : each.tensor.shape) digest.add(static_cast<uint64_t>(extent));
    add_samples(each.tensor.data, &digest);
    if (each.tensor.scaled != nullptr) add_value_samples(each.tensor, &digest);
  }
  return digest.value();
}

}  // namespace brisk
