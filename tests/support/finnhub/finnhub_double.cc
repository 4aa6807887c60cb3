#include "tests/support/finnhub/finnhub_double.h"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <nlohmann/json.hpp>

namespace stockalert::testing {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using tcp = asio::ip::tcp;

struct FinnhubDouble::Rest {
  mutable std::mutex mutex;
  std::map<std::string, std::string> quotes;  // Guarded by mutex, as what follows.
  std::map<std::string, std::pair<int, std::string>> failing;
  std::map<std::string, int> dripping;
  std::string search = R"({"count":0,"result":[]})";
  int fail_status = 0;
  std::string fail_body;
  std::vector<std::string> quoted;
  int calls = 0;
  std::set<std::string> keys;
  std::atomic<bool> ending{false};
  httplib::Server server;
  int port = 0;
  std::thread thread;

  Rest() {
    server.Get("/api/v1/quote", [this](const httplib::Request& request, httplib::Response& response) {
      std::lock_guard lock(mutex);
      if (Fails(request, response)) return;
      const std::string symbol = request.get_param_value("symbol");
      quoted.push_back(symbol);
      if (const auto fails = failing.find(symbol); fails != failing.end()) {
        response.status = fails->second.first;
        response.set_content(fails->second.second, "text/plain");
        return;
      }
      if (const auto drips = dripping.find(symbol); drips != dripping.end()) {
        response.set_chunked_content_provider(
            "application/json", [this, interval_ms = drips->second](size_t, httplib::DataSink& sink) {
              for (int waited_ms = 0; waited_ms < interval_ms && !ending; waited_ms += 20) {
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
              }
              return !ending && sink.write(" ", 1);
            });
        return;
      }
      const auto found = quotes.find(symbol);
      response.set_content(
          found == quotes.end() ? R"({"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0})" : found->second,
          "application/json");
    });
    server.Get("/api/v1/search", [this](const httplib::Request& request, httplib::Response& response) {
      std::lock_guard lock(mutex);
      if (!Fails(request, response)) response.set_content(search, "application/json");
    });
    // Calls that drip must not keep the double itself from answering the others.
    server.new_task_queue = [] { return new httplib::ThreadPool(64); };
    port = server.bind_to_any_port("127.0.0.1");
    thread = std::thread([this] { server.listen_after_bind(); });
    while (!server.is_running()) std::this_thread::yield();
  }
  ~Rest() {
    ending = true;
    server.stop();
    thread.join();
  }
  bool Fails(const httplib::Request& request, httplib::Response& response) {
    ++calls;
    keys.insert(request.get_header_value("X-Finnhub-Token"));
    if (fail_status == 0) return false;
    response.status = fail_status;
    response.set_content(fail_body, "text/plain");
    return true;
  }
};

// All of it lives on one thread; the members that others read are guarded.
struct FinnhubDouble::Stream {
  struct Connection : std::enable_shared_from_this<Connection> {
    Connection(Stream& the_owner, tcp::socket socket) : owner(the_owner), ws(std::move(socket)) {}

    void Begin() {
      http::async_read(ws.next_layer(), buffer, request, [self = shared_from_this()](beast::error_code error, size_t) {
        if (!error) self->Answer();
      });
    }
    void Answer() {
      int decline = 0;
      {
        std::lock_guard lock(owner.mutex);
        ++owner.handshakes;
        decline = owner.decline;
        const std::string target(request.target());
        const size_t at = target.find("token=");
        if (at != std::string::npos) owner.keys.insert(target.substr(at + 6));
      }
      if (decline != 0) {
        refusal.result(static_cast<unsigned>(decline));
        refusal.version(11);
        refusal.prepare_payload();
        http::async_write(ws.next_layer(), refusal, [self = shared_from_this()](beast::error_code, size_t) {
          beast::error_code ignored;
          static_cast<void>(self->ws.next_layer().close(ignored));
        });
        return;
      }
      ws.async_accept(request, [self = shared_from_this()](beast::error_code error) {
        if (error) return;
        self->open = true;
        {
          std::lock_guard lock(self->owner.mutex);
          ++self->owner.connections;
          self->owner.connections_max = std::max(self->owner.connections_max, self->owner.connections);
        }
        self->Read();
      });
    }
    void Read() {
      ws.async_read(in, [self = shared_from_this()](beast::error_code error, size_t) {
        if (error) return self->End();
        const auto message = nlohmann::json::parse(beast::buffers_to_string(self->in.data()), nullptr, false);
        self->in.consume(self->in.size());
        if (message.is_object()) self->Heard(message.value("type", ""), message.value("symbol", ""));
        self->Read();
      });
    }
    void Heard(const std::string& type, const std::string& symbol) {
      bool too_many = false;
      {
        std::lock_guard lock(owner.mutex);
        if (type == "unsubscribe") owner.subscribed.erase(symbol);
        if (type == "subscribe") {
          too_many = owner.subscribed.size() >= owner.subscriptions_max;
          if (!too_many) owner.subscribed.insert(symbol);
        }
      }
      if (too_many) Send(R"({"type":"error","msg":"Subscribing to too many symbols"})");
    }
    void Send(const std::string& text) {
      if (!open) return;
      out.push_back(text);
      if (out.size() == 1) Write();
    }
    void Write() {
      ws.async_write(asio::buffer(out.front()), [self = shared_from_this()](beast::error_code error, size_t) {
        if (error) return;
        self->out.pop_front();
        if (!self->out.empty()) self->Write();
      });
    }
    void End() {
      if (!open) return;
      open = false;
      std::lock_guard lock(owner.mutex);
      --owner.connections;
      owner.subscribed.clear();
    }

    Stream& owner;
    websocket::stream<tcp::socket> ws;
    beast::flat_buffer buffer;
    http::request<http::string_body> request;
    http::response<http::string_body> refusal;
    beast::flat_buffer in;
    std::deque<std::string> out;
    bool open = false;
  };

  asio::io_context io;
  tcp::acceptor acceptor{io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::vector<std::weak_ptr<Connection>> all;
  std::thread thread;
  mutable std::mutex mutex;
  int decline = 0;  // Guarded by mutex, as what follows.
  size_t subscriptions_max = 50;
  std::set<std::string> subscribed;
  std::set<std::string> keys;
  int handshakes = 0;
  int connections = 0;
  int connections_max = 0;

  Stream() {
    Accept();
    thread = std::thread([this] { io.run(); });
  }
  ~Stream() {
    io.stop();
    thread.join();
  }
  void Accept() {
    acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error) return;
      auto connection = std::make_shared<Connection>(*this, std::move(socket));
      all.push_back(connection);
      connection->Begin();
      Accept();
    });
  }
  template <typename Do>
  void ForEach(Do&& act) {
    asio::post(io, [this, act = std::forward<Do>(act)] {
      for (const auto& weak : all) {
        if (auto connection = weak.lock()) act(*connection);
      }
    });
  }
};

FinnhubDouble::FinnhubDouble() : rest_(std::make_unique<Rest>()), stream_(std::make_unique<Stream>()) {}
FinnhubDouble::~FinnhubDouble() = default;

std::string FinnhubDouble::rest_url() const { return "http://127.0.0.1:" + std::to_string(rest_->port) + "/api/v1"; }
std::string FinnhubDouble::ws_url() const {
  return "ws://127.0.0.1:" + std::to_string(stream_->acceptor.local_endpoint().port());
}

void FinnhubDouble::SetQuote(const std::string& symbol, const std::string& json) {
  std::lock_guard lock(rest_->mutex);
  rest_->quotes[symbol] = json;
}
void FinnhubDouble::SetSearch(const std::string& json) {
  std::lock_guard lock(rest_->mutex);
  rest_->search = json;
}
void FinnhubDouble::FailQuote(const std::string& symbol, int status, const std::string& body) {
  std::lock_guard lock(rest_->mutex);
  rest_->failing.erase(symbol);
  if (status != 0) rest_->failing[symbol] = {status, body};
}
void FinnhubDouble::Drip(const std::string& symbol, int interval_ms) {
  std::lock_guard lock(rest_->mutex);
  rest_->dripping[symbol] = interval_ms;
}
void FinnhubDouble::FailRest(int status, const std::string& body) {
  std::lock_guard lock(rest_->mutex);
  rest_->fail_status = status;
  rest_->fail_body = body;
}
int FinnhubDouble::rest_calls() const {
  std::lock_guard lock(rest_->mutex);
  return rest_->calls;
}
std::vector<std::string> FinnhubDouble::quoted() const {
  std::lock_guard lock(rest_->mutex);
  return rest_->quoted;
}
std::set<std::string> FinnhubDouble::keys() const {
  std::set<std::string> keys;
  {
    std::lock_guard lock(rest_->mutex);
    keys = rest_->keys;
  }
  std::lock_guard lock(stream_->mutex);
  keys.insert(stream_->keys.begin(), stream_->keys.end());
  return keys;
}

void FinnhubDouble::DeclineHandshakes(int status) {
  std::lock_guard lock(stream_->mutex);
  stream_->decline = status;
}
void FinnhubDouble::SetSubscriptionsMax(size_t symbols) {
  std::lock_guard lock(stream_->mutex);
  stream_->subscriptions_max = symbols;
}
void FinnhubDouble::Send(const std::string& text) {
  stream_->ForEach([text](Stream::Connection& connection) { connection.Send(text); });
}
void FinnhubDouble::Drop() {
  stream_->ForEach([](Stream::Connection& connection) {
    beast::error_code ignored;
    static_cast<void>(connection.ws.next_layer().close(ignored));
    connection.End();
  });
}
std::set<std::string> FinnhubDouble::subscribed() const {
  std::lock_guard lock(stream_->mutex);
  return stream_->subscribed;
}
int FinnhubDouble::handshakes() const {
  std::lock_guard lock(stream_->mutex);
  return stream_->handshakes;
}
int FinnhubDouble::connections() const {
  std::lock_guard lock(stream_->mutex);
  return stream_->connections;
}
int FinnhubDouble::connections_max() const {
  std::lock_guard lock(stream_->mutex);
  return stream_->connections_max;
}

}  // namespace stockalert::testing
