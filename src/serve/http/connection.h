// One client's connection: a coroutine that reads a request, has it answered, writes the answer,
// and starts again. Internal to the server.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>

namespace brisk::http {

class ConnectionPool;

// Any thread may call anything.
class Connection {
 public:
  virtual ~Connection() = default;
  // From now on it keeps itself alive until it ends.
  virtual void start() = 0;
  // Ends it soon, whatever it is doing.
  virtual void stop() = 0;
};

// `socket`'s executor must be a strand of its own; `pool` must outlive the connection.
std::shared_ptr<Connection> make_connection(boost::asio::ip::tcp::socket socket,
                                            ConnectionPool& pool);

}  // namespace brisk::http
