// OpenAI's files and batches over HTTP, and the thread that works batches off.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "serve/batch/batch_input.h"
#include "serve/batch/batch_store.h"
#include "serve/http/key_ring.h"
#include "serve/http/router.h"

namespace brisk::batch {

struct BatchOptions {
  std::string directory{};
  StoreLimits store{};
  InputLimits input{};
  int width = 32;              // lines answered at once
  int batches_open_max = 100;  // of one owner, that have not ended
};

// Any thread may call anything. It must outlive the server that answers its routes, and end before
// what the handlers of its endpoints use.
class BatchService {
 public:
  // Goes on with what was left undone. `endpoints` are the routes of the server; `keys` its keys.
  static absl::StatusOr<std::unique_ptr<BatchService>> start(
      const BatchOptions& options, std::vector<http::Route> endpoints,
      std::shared_ptr<const http::KeyRing> keys);
  virtual ~BatchService() = default;  // stops

  virtual std::vector<http::Route> routes() = 0;
  // Begins no more lines and forgets those that run: they are done after the next start.
  // Idempotent.
  virtual void stop() = 0;
};

// The same endpoints where there is no directory for them: each says what to do.
std::vector<http::Route> routes_without_batches();

}  // namespace brisk::batch
