#include "services/common/http/admin_server.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/abseil.h"
#include "services/common/base/bounded_executor.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/metrics/process_metrics.h"
#include "services/common/net/port_claim.h"
#include "services/common/process/liveness.h"

namespace stockalert::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using Tcp = asio::ip::tcp;

constexpr uint32_t kHeaderBytesMax = 8 * 1024;
constexpr uint64_t kBodyBytesMax = 1024;
constexpr int kRequestsPerConnectionMax = 100;
// Above it, the connection that has brought no whole request for longest makes room for the next.
constexpr size_t kConnectionsMax = 512;
constexpr std::chrono::milliseconds kAcceptPause{50};

struct Answer {
  int status = 200;
  std::string text;
  const char* content_type = "text/plain";
};

// The gauges of each loop that is there; those of loops that have gone go.
class LoopGauges {
 public:
  void Set(const std::map<std::string, process::Liveness::Age>& ages) {
    base::MutexLock lock(mutex_);
    std::erase_if(gauges_, [&](const auto& one) {
      if (ages.contains(one.first)) return false;
      ages_.Remove(one.second.age);
      stuck_.Remove(one.second.stuck);
      return true;
    });
    for (const auto& [name, age] : ages) {
      const auto [found, is_new] = gauges_.try_emplace(name);
      if (is_new) found->second = {&ages_.Add({{"loop", name}}), &stuck_.Add({{"loop", name}})};
      found->second.age->Set(absl::ToDoubleSeconds(age.age));
      found->second.stuck->Set(age.stuck() ? 1 : 0);
    }
  }

 private:
  struct Gauges {
    prometheus::Gauge* age = nullptr;
    prometheus::Gauge* stuck = nullptr;
  };
  base::Mutex mutex_;
  prometheus::Family<prometheus::Gauge>& ages_ =
      prometheus::BuildGauge()
          .Name("stockalert_loop_last_turn_age_seconds")
          .Help("How long ago a loop last turned, or a queue that holds something last moved, while the process ran")
          .Register(*metrics::Registry());
  prometheus::Family<prometheus::Gauge>& stuck_ =
      prometheus::BuildGauge()
          .Name("stockalert_loop_stuck")
          .Help("1 where a loop has not turned for longer than its bound: /healthz fails by it")
          .Register(*metrics::Registry());
  std::map<std::string, Gauges> gauges_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

// All but the answers that take time happens on one thread, the loop's.
struct AdminServer::Impl {
  class Session;
  using Sessions = std::list<std::weak_ptr<Session>>;

  // An answer that may wait for something (the database, a large text): made on a thread of its own, once for all who
  // ask meanwhile. Who asks while it is being made gets the next one, which is not older than the question.
  struct Slow {
    std::function<Answer()> make;
    bool running = false;
    std::vector<std::shared_ptr<Session>> waiting;
  };

  explicit Impl(const AdminServerOptions& given)
      : options(given), acceptor(loop), pause(loop), makers("http-answers", 2, 16), watch(*given.liveness) {
    slow["/metrics"].make = [this] { return Metrics(); };
    slow["/readyz"].make = [this] { return Readiness(); };
  }

  std::vector<std::string> NotReadyReasons() const {
    return options.not_ready_reasons ? options.not_ready_reasons() : std::vector<std::string>{};
  }
  Answer Metrics();
  Answer Readiness();
  Answer Health();

  absl::Status Bind(const config::Address& address);
  void Accept();
  // The answer comes at once, or later by Session::Write.
  void Ask(const std::shared_ptr<Session>& session, const std::string& path);
  void Make(Slow& answer);

  const AdminServerOptions options;
  LoopGauges loops;
  Sessions reading;  // Those that have no whole request yet, the oldest first.
  size_t sessions = 0;
  asio::io_context loop{1};  // What waits in it uses what is above.
  Tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::map<std::string, Slow> slow;
  base::BoundedExecutor makers;
  process::Heartbeat heartbeat{"http"};
  process::LivenessWatch watch;
  std::thread thread;
};

// One connection. Keeps itself alive by what it waits for.
class AdminServer::Impl::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Impl& server, Tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    ++server_.sessions;
    beast::error_code ignored;
    stream_.socket().set_option(Tcp::no_delay(true), ignored);
  }
  ~Session() { --server_.sessions; }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    parser_->body_limit(kBodyBytesMax);
    place_ = server_.reading.insert(server_.reading.end(), weak_from_this());
    // For all of the request, not from byte to byte.
    stream_.expires_after(absl::ToChronoMilliseconds(server_.options.request_time_max));
    bhttp::async_read(stream_, buffer_, *parser_,
                      [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

  void Write(Answer answer) {
    const bhttp::request<bhttp::string_body>& request = parser_->get();
    response_.emplace(static_cast<bhttp::status>(answer.status), request.version());
    response_->set(bhttp::field::content_type, answer.content_type);
    response_->keep_alive(request.keep_alive() && ++answered_ < kRequestsPerConnectionMax);
    response_->body() = std::move(answer.text);
    response_->prepare_payload();
    if (request.method() == bhttp::verb::head) response_->body().clear();
    stream_.expires_after(absl::ToChronoMilliseconds(server_.options.answer_time_max));
    bhttp::async_write(stream_, *response_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (!error && self->response_->keep_alive()) return self->Read();
      self->Close();
    });
  }

  void Close() {
    beast::error_code ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
  }

 private:
  void OnRead(beast::error_code error) {
    server_.reading.erase(place_);
    if (error) return Close();
    const bhttp::request<bhttp::string_body>& request = parser_->get();
    stream_.expires_never();
    if (request.method() != bhttp::verb::get && request.method() != bhttp::verb::head)
      return Write({405, "only GET\n"});
    const std::string target(request.target());
    server_.Ask(shared_from_this(), target.substr(0, target.find('?')));
  }

  Impl& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{kHeaderBytesMax + kBodyBytesMax};
  std::optional<bhttp::request_parser<bhttp::string_body>> parser_;
  std::optional<bhttp::response<bhttp::string_body>> response_;
  Sessions::iterator place_;
  int answered_ = 0;
};

Answer AdminServer::Impl::Metrics() {
  static auto& ready = metrics::GetGauge("stockalert_ready", "1 where /readyz says that the service can answer");
  ready.Set(NotReadyReasons().empty() ? 1 : 0);
  metrics::UpdateProcessMetrics();
  loops.Set(options.liveness->Ages());
  if (options.before_scrape) options.before_scrape();
  return {200, metrics::ExpositionText(), "text/plain; version=0.0.4; charset=utf-8"};
}

Answer AdminServer::Impl::Readiness() {
  std::string text;
  for (const std::string& reason : NotReadyReasons()) text += "not ready: " + reason + "\n";
  if (text.empty()) return {200, "ready\n"};
  return {503, text};
}

Answer AdminServer::Impl::Health() {
  std::string text;
  for (const auto& [name, age] : options.liveness->FindStuck()) {
    absl::StrAppend(&text, "not alive: ", name, " has not turned for ", absl::ToInt64Seconds(age.age), " s (bound ",
                    absl::ToInt64Seconds(age.bound), " s)\n");
  }
  if (text.empty()) return {200, "alive\n"};
  return {503, text};
}

absl::Status AdminServer::Impl::Bind(const config::Address& address) {
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

void AdminServer::Impl::Accept() {
  acceptor.async_accept([this](beast::error_code error, Tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {
      // No file is left, perhaps: one of those who take their time goes, and it is tried again.
      if (const auto oldest = reading.empty() ? nullptr : reading.front().lock()) oldest->Close();
      pause.expires_after(kAcceptPause);
      return pause.async_wait([this](beast::error_code aborted) {
        if (!aborted) Accept();
      });
    }
    if (sessions >= kConnectionsMax) {
      const auto oldest = reading.empty() ? nullptr : reading.front().lock();
      if (oldest != nullptr) oldest->Close();
    }
    if (sessions < 2 * kConnectionsMax) std::make_shared<Session>(*this, std::move(socket))->Read();
    Accept();
  });
}

void AdminServer::Impl::Ask(const std::shared_ptr<Session>& session, const std::string& path) {
  if (path == "/healthz") return session->Write(Health());
  const auto found = slow.find(path);
  if (found == slow.end()) return session->Write({404, "there are /healthz, /readyz and /metrics\n"});
  found->second.waiting.push_back(session);
  if (!found->second.running) Make(found->second);
}

void AdminServer::Impl::Make(Slow& answer) {
  answer.running = true;
  auto asked = std::make_shared<std::vector<std::shared_ptr<Session>>>(std::exchange(answer.waiting, {}));
  const bool accepted = makers.TrySubmit([this, &answer, asked] {
    Answer made;
    try {
      made = answer.make();
    } catch (const std::exception&) {
      log::Error("an HTTP handler failed; the answer is 500");
      made = {500, "failed: see the log\n"};
    }
    asio::post(loop, [this, &answer, asked, made = std::move(made)] {
      for (const std::shared_ptr<Session>& session : *asked) session->Write(made);
      asked->clear();
      answer.running = false;
      if (!answer.waiting.empty()) Make(answer);
    });
  });
  // Only while the server ends.
  if (!accepted) asked->clear();
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const AdminServerOptions& options) {
  const absl::StatusOr<config::Address> address = config::ParseAddress(options.address);
  if (!address.ok()) return address.status();
  auto impl = std::make_unique<Impl>(options);
  STOCKALERT_RETURN_IF_ERROR(
      net::RetryWhileTaken(options.address, options.port_patience, [&] { return impl->Bind(*address); }));
  const int port = impl->acceptor.local_endpoint().port();
  impl->Accept();
  impl->heartbeat.Beat();
  impl->thread = std::thread([self = impl.get()] {
    // In turns, so that a loop which is stuck in one is seen.
    while (!self->loop.stopped()) {
      self->heartbeat.Beat();
      self->loop.run_one_for(std::chrono::seconds(1));
    }
  });
  pthread_setname_np(impl->thread.native_handle(), "http");
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl), port));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl, int port) : impl_(std::move(impl)), port_(port) {}

AdminServer::~AdminServer() {
  impl_->loop.stop();
  impl_->thread.join();
  // What is being made still posts to the loop, which is there until the makers have ended.
  impl_->makers.Stop(absl::Now() + absl::Seconds(10));
  for (auto& [path, answer] : impl_->slow) answer.waiting.clear();
}

}  // namespace stockalert::http
