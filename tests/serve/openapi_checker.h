// Holds exchanges with a live server against its OpenAPI document. The judge is valijson.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/json.h"
#include "tests/serve/raw_client.h"

namespace brisk::test {

struct Exchange {
  std::string_view method;
  std::string_view path;  // without the query
  std::string_view body;  // of the request
  const RawResponse& response;
};

// Stricter than the document: an answer may have no member that is not documented, unless the
// schema says that it may. Any thread.
class OpenApiChecker {
 public:
  static OpenApiChecker& instance();
  ~OpenApiChecker();

  // Empty: a request that was taken, and its answer, are as documented. Else what is wrong.
  std::string fault(const Exchange& exchange);

  const Json& document() const { return document_; }
  // "get /v1/models": those that have been answered with 200.
  std::set<std::string> answered();

 private:
  struct Schemas;
  struct Operation {
    std::string name;
    const Json* json = nullptr;
  };

  OpenApiChecker();
  Operation find(std::string_view method, std::string_view path) const;
  // Empty: `json` is valid against the schema.
  std::string why_invalid(const Json& schema, const Json& json);
  std::string response_fault(const Json& operation, const RawResponse& response);
  std::string event_fault(const Json& content, std::string_view body);
  const Json& resolve(const Json& json) const;

  Json document_;
  Json closed_;  // the document's components, as it judges
  std::mutex mutex_;
  std::unique_ptr<Schemas> schemas_;  // by their text
  std::set<std::string> answered_;
};

}  // namespace brisk::test
