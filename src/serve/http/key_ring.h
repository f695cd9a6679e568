// The API keys of a server and what each has used. Keys are kept as SHA-256 only: they are random
// and have 256 bits, so nobody can find one by trying, and salt or a slow hash would add nothing.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/key_account.h"
#include "serve/http/message.h"
#include "serve/http/sha256.h"

namespace brisk::http {

// Whoever has one may use the server.
struct ApiKey {
  std::string key{};  // in plain text; where it is empty, `digest` is the key's
  int weight = 1;     // its share of a busy server, against other keys
  Sha256 digest{};
  std::string name{};  // for people; may be empty
  KeyLimits limits{};
};

// Any thread may call anything.
class KeyRing {
 public:
  // No keys: none is asked for, ever.
  explicit KeyRing(const std::vector<ApiKey>& keys);

  // From now on these are the keys. One that stays keeps what it has used. A ring that asks for
  // keys still does when there are none left.
  void replace(const std::vector<ApiKey>& keys);

  bool asks_for_keys() const { return asks_; }
  // Sets `caller` to the key that is `given`. Takes the same time whatever is.
  bool find(std::string_view given, Caller& caller) const;
  // The same by the key's SHA-256, for work that goes on after its request. Not in constant time.
  bool find_digest(const Sha256& digest, Caller& caller) const;
  // The account of the key with that digest; null when it is gone.
  std::shared_ptr<KeyAccount> account(const Sha256& digest) const;

  // Tokens used ever, of the keys whose number is limited.
  std::map<Sha256, int64_t> tokens_used() const;
  void set_tokens_used(const std::map<Sha256, int64_t>& used);

 private:
  struct Entry {
    Sha256 digest;
    int weight;
    std::string name;
    bool limited;
    std::shared_ptr<KeyAccount> account;
  };

  void fill_in(const Entry& entry, Caller& caller) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const bool asks_;
  const SteadyClock clock_;
  mutable absl::Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  int next_id_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace brisk::http
