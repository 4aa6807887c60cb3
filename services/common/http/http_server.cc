#include "services/common/http/http_server.h"

#include <pthread.h>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"
#include "services/common/process/liveness.h"

namespace stockalert::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using Tcp = asio::ip::tcp;

constexpr uint32_t kHeaderBytesMax = 8 * 1024;
constexpr std::chrono::milliseconds kAcceptPause{50};

}  // namespace

// All happens on one thread, the loop's.
struct HttpServer::Impl {
  class Session;
  using Sessions = std::list<std::shared_ptr<Session>>;

  Impl(HttpServerOptions given, Handler handle)
      : options(std::move(given)), handler(std::move(handle)), acceptor(loop), pause(loop) {}

  absl::Status Bind(const config::Address& address);
  void Accept();
  void CloseOldest();

  const HttpServerOptions options;
  const Handler handler;
  int port = 0;
  asio::io_context loop{1};
  // After the loop, which their sockets belong to.
  Sessions reading;  // Those that have no whole request yet, the oldest first.
  Sessions answering;
  Tcp::acceptor acceptor;
  asio::steady_timer pause;
  process::Heartbeat heartbeat{options.name};
  std::thread thread;
};

// One connection. The server holds it until it is closed, and what waits in the loop does; whoever makes the answer, on
// whatever thread, does not: it must not be the last one to let go of it.
class HttpServer::Impl::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Impl& server, Tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    beast::error_code ignored;
    stream_.socket().set_option(Tcp::no_delay(true), ignored);
  }

  void Start() {
    place_ = server_.reading.insert(server_.reading.end(), shared_from_this());
    Read();
  }

  // Only of one that is open.
  void Close() {
    beast::error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
    closed_ = true;
    (reading_ ? server_.reading : server_.answering).erase(place_);
  }

 private:
  void Read() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    parser_->body_limit(server_.options.body_bytes_max);
    // For all of the request, not from byte to byte.
    stream_.expires_after(absl::ToChronoMilliseconds(server_.options.request_time_max));
    bhttp::async_read(stream_, buffer_, *parser_,
                      [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

  void OnRead(beast::error_code error) {
    if (closed_) return;
    if (error) return Close();
    Move(/*reading=*/false);
    const bhttp::request<bhttp::string_body>& request = parser_->get();
    stream_.expires_never();
    const auto type = request[bhttp::field::content_type];
    server_.handler(
        {std::string(request.method_string()), std::string(request.target()), std::string(type), request.body()},
        [&loop = server_.loop, session = weak_from_this()](ServedAnswer answer) {
          asio::dispatch(loop, [session, answer = std::move(answer)]() mutable {
            if (const auto self = session.lock()) self->Write(std::move(answer));
          });
        });
  }

  void Write(ServedAnswer answer) {
    const bhttp::request<bhttp::string_body>& request = parser_->get();
    response_.emplace(static_cast<bhttp::status>(answer.status), request.version());
    response_->set(bhttp::field::content_type, answer.content_type);
    for (const auto& [name, value] : answer.headers) response_->set(name, value);
    response_->keep_alive(request.keep_alive() && ++answered_ < server_.options.requests_per_connection_max);
    response_->body() = std::move(answer.body);
    response_->prepare_payload();
    if (request.method() == bhttp::verb::head) response_->body().clear();
    stream_.expires_after(absl::ToChronoMilliseconds(server_.options.answer_time_max));
    bhttp::async_write(stream_, *response_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error || !self->response_->keep_alive()) return self->Close();
      self->Move(/*reading=*/true);
      self->Read();
    });
  }

  void Move(bool reading) {
    Sessions& to = reading ? server_.reading : server_.answering;
    to.splice(to.end(), reading_ ? server_.reading : server_.answering, place_);
    reading_ = reading;
  }

  Impl& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{kHeaderBytesMax + static_cast<size_t>(server_.options.body_bytes_max)};
  std::optional<bhttp::request_parser<bhttp::string_body>> parser_;
  std::optional<bhttp::response<bhttp::string_body>> response_;
  Sessions::iterator place_;  // In `reading` or in `answering`.
  bool reading_ = true;
  bool closed_ = false;
  int answered_ = 0;
};

absl::Status HttpServer::Impl::Bind(const config::Address& address) {
  beast::error_code error;
  Tcp::resolver resolver(loop);
  const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                      Tcp::resolver::passive | Tcp::resolver::numeric_service, error);
  if (!error && !found.empty()) {
    const Tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol(), error);
    // No other process may have the same port at the same time.
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return absl::OkStatus();
    beast::error_code ignored;
    acceptor.close(ignored);
  }
  return absl::UnavailableError(error.message());
}

void HttpServer::Impl::CloseOldest() {
  if (const auto oldest = reading.empty() ? nullptr : reading.front()) oldest->Close();
}

void HttpServer::Impl::Accept() {
  acceptor.async_accept([this](beast::error_code error, Tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {
      // No file is left, perhaps: one of those who take their time goes, and it is tried again.
      CloseOldest();
      pause.expires_after(kAcceptPause);
      return pause.async_wait([this](beast::error_code aborted) {
        if (!aborted) Accept();
      });
    }
    if (reading.size() + answering.size() >= options.connections_max) CloseOldest();
    if (reading.size() + answering.size() < 2 * options.connections_max)
      std::make_shared<Session>(*this, std::move(socket))->Start();
    Accept();
  });
}

HttpServer::HttpServer(HttpServerOptions options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() { Stop(); }

absl::Status HttpServer::Start() {
  Impl& impl = *impl_;
  STOCKALERT_ASSIGN_OR_RETURN(const config::Address address, config::ParseAddress(impl.options.address));
  STOCKALERT_RETURN_IF_ERROR(
      net::RetryWhileTaken(impl.options.address, impl.options.port_patience, [&] { return impl.Bind(address); }));
  impl.port = impl.acceptor.local_endpoint().port();
  impl.Accept();
  impl.heartbeat.Beat();
  impl.thread = std::thread([&impl] {
    // In turns, so that a loop which is stuck in one is seen.
    while (!impl.loop.stopped()) {
      impl.heartbeat.Beat();
      impl.loop.run_one_for(std::chrono::seconds(1));
    }
  });
  pthread_setname_np(impl.thread.native_handle(), impl.options.name.c_str());
  return absl::OkStatus();
}

void HttpServer::Stop() {
  impl_->loop.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

int HttpServer::port() const { return impl_->port; }

void HttpServer::Post(std::function<void()> work) { asio::post(impl_->loop, std::move(work)); }

}  // namespace stockalert::http
