// One request after the other on one connection, with what is measured of each. Internal to the
// load generator; one thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "plan/load/load_report.h"
#include "plan/load/load_run.h"

namespace brisk {

class LoadStream;

struct StreamEnd {
  RequestResult result;
  std::string error;  // why it failed
};

class LoadStreamOwner {
 public:
  virtual ~LoadStreamOwner() = default;
  virtual double now_s() const = 0;  // since the start of the run
  // An event with output; `gap_s` since the one before, negative for the first.
  virtual void on_output(double at_s, double gap_s) = 0;
  // The stream is free again, and may be sent on at once.
  virtual void on_end(LoadStream& stream, const StreamEnd& end) = 0;
};

struct OutgoingRequest {
  size_t index = 0;
  double arrived_s = 0;
  const LoadRequest* request = nullptr;
  std::string body;
};

struct LoadStreamOptions {
  const LoadTarget& target;
  LoadEndpoint endpoint = LoadEndpoint::kCompletions;
};

class LoadStream {
 public:
  virtual ~LoadStream() = default;
  virtual void send(const OutgoingRequest& request) = 0;  // REQUIRES: free
  virtual size_t request_index() const = 0;               // of the last that was sent
  virtual void end_if_older_than(double timeout_s, double now_s) = 0;
  virtual void close() = 0;  // nobody hears of it again
};

// `options.target` and `owner` outlive it.
std::unique_ptr<LoadStream> make_load_stream(const LoadStreamOptions& options,
                                             boost::asio::io_context& context,
                                             const boost::asio::ip::tcp::endpoint& endpoint,
                                             LoadStreamOwner& owner);

}  // namespace brisk
