// Models of a few KB that are seeds of the fuzzers too, one of every family.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "compute/sys/mapped_file.h"
#include "model/model.h"
#include "tests/support/read_small_checkpoint.h"

namespace brisk {

// The weights lie in `bytes`, which must outlive the model.
struct SmallModel {
  std::string name;
  std::string bytes;
  std::shared_ptr<const Model> model;
};

inline SmallModel small_model(const std::string& path, int64_t context_max) {
  SmallModel small = {.name = path, .bytes = read_file(path, 1 << 20).value(), .model = nullptr};
  auto checkpoint = read_gguf_bytes(std::as_bytes(std::span(small.bytes)));
  small.model =
      make_model(checkpoint.value(), path, {.tokenizer_path = "", .context_max = context_max})
          .value();
  return small;
}

}  // namespace brisk
