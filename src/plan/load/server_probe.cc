#include "plan/load/server_probe.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <limits>
#include <set>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "plan/load/http_stream.h"
#include "plan/load/stream_event.h"

namespace brisk {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kAnswerBytesMax = 16 << 20;

class WholeAnswer final : public HttpStreamHandler {
 public:
  void on_head(int status) override { answer.status = status; }
  void on_body(std::string_view bytes) override {
    too_long = too_long || answer.body.size() + bytes.size() > kAnswerBytesMax;
    if (!too_long) answer.body += bytes;
  }
  void on_end(const std::string& problem) override {
    ended = true;
    error = too_long ? "the answer is too long" : problem;
  }

  HttpAnswer answer;
  std::string error;
  bool too_long = false;
  bool ended = false;
};

}  // namespace

absl::StatusOr<tcp::endpoint> find_endpoint(const LoadTarget& target) {
  asio::io_context context;
  tcp::resolver resolver(context);
  error_code error;
  const auto found = resolver.resolve(target.host, std::to_string(target.port),
                                      tcp::resolver::numeric_service, error);
  if (error) return system_error("cannot find the host {}: {}", target.host, error.message());
  tcp::socket socket(context);
  std::optional<tcp::endpoint> endpoint;
  error = asio::error::timed_out;
  asio::async_connect(socket, found, [&](const error_code& failed, const tcp::endpoint& to) {
    error = failed;
    if (!failed) endpoint = to;
  });
  context.run_for(kPatience);
  if (endpoint) return *endpoint;
  return system_error("no server answers at {}: {}", to_url(target), error.message());
}

absl::StatusOr<HttpAnswer> ask(const LoadTarget& target, std::string_view path,
                               std::string_view body, std::chrono::seconds patience) {
  BRISK_ASSIGN_OR_RETURN(const tcp::endpoint endpoint, find_endpoint(target));
  asio::io_context context;
  WholeAnswer whole;
  const std::shared_ptr<HttpStream> stream = make_http_stream(context, endpoint);
  stream->send(format_request(target, path, body), whole);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!whole.ended && context.run_one_until(deadline) > 0) {
  }
  if (!whole.ended) {
    stream->close();
    context.run_for(kPatience);
    return system_error("{}{} did not answer within {} s", to_url(target), path, patience.count());
  }
  if (!whole.error.empty()) return system_error("{}{}: {}", to_url(target), path, whole.error);
  return std::move(whole.answer);
}

absl::StatusOr<std::string> first_model(const LoadTarget& target) {
  BRISK_ASSIGN_OR_RETURN(const HttpAnswer answer, ask(target, "/v1/models"));
  if (answer.status != 200) {
    return system_error("{}/v1/models answers {}: {}", to_url(target), answer.status,
                        error_message(answer.body));
  }
  const absl::StatusOr<Json> json = parse_json(answer.body);
  const auto id = Json::json_pointer("/data/0/id");
  if (!json.ok() || !json->contains(id) || !(*json)[id].is_string()) {
    return invalid_input("{}/v1/models names no model; name one with --model", to_url(target));
  }
  return (*json)[id].get<std::string>();
}

std::optional<PromptAlphabet> learn_ids(const LoadTarget& target, const std::string& model) {
  const std::string words = sample_words();
  // vLLM and brisk ask for a prompt, llama.cpp for content.
  const Json question = {{"model", model}, {"prompt", words}, {"content", words}};
  const Json asked = {{"model", model}, {"prompt", words}};
  constexpr size_t kIdsMin = 16;  // fewer would repeat too soon
  for (const Json& body : {asked, question}) {
    const absl::StatusOr<HttpAnswer> answer = ask(target, "/tokenize", to_text(body));
    if (!answer.ok() || answer->status != 200) continue;
    const absl::StatusOr<Json> json = parse_json(answer->body);
    if (!json.ok() || !json->is_object() || !json->contains("tokens")) continue;
    std::set<int32_t> ids;
    for (const Json& id : (*json)["tokens"]) {
      // The first few of a vocabulary are the special ones.
      constexpr uint64_t kSpecial = 4;
      if (!id.is_number_unsigned() || id.get<uint64_t>() < kSpecial) continue;
      if (id.get<uint64_t>() > std::numeric_limits<int32_t>::max()) continue;
      ids.insert(id.get<int32_t>());
    }
    if (ids.size() >= kIdsMin) return PromptAlphabet::of_ids({ids.begin(), ids.end()});
  }
  return std::nullopt;
}

}  // namespace brisk
