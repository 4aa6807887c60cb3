#include "services/notifier/unsubscribe/unsubscribe_server.h"

#include <exception>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/bounded_executor.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/status_macros.h"
#include "services/common/http/http_server.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::notifier {
namespace {

using http::HttpServer;
using http::ServedAnswer;
using http::ServedRequest;

constexpr uint64_t kBodyBytesMax = 4 * 1024;
constexpr int kRequestsPerConnectionMax = 20;
constexpr size_t kThreads = 2;
constexpr size_t kWaitingMax = 64;

prometheus::Counter& Refused() {
  return metrics::GetCounter("stockalert_unsubscribe_refused_total",
                             "Requests to unsubscribe that were refused, because there were too many at once");
}

PageAnswer TooMany(int status) {
  Refused().Increment();
  return {status, UnsubscribePage("Please try again in a minute", "There are too many requests right now.")};
}

ServedAnswer ServedOf(PageAnswer page) {
  ServedAnswer answer{.status = page.status,
                      .body = std::move(page.html),
                      .content_type = "text/html; charset=utf-8",
                      .headers = {{"Cache-Control", "no-store"},
                                  {"Content-Security-Policy",
                                   "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
                                   "frame-ancestors 'none'"},
                                  {"Referrer-Policy", "no-referrer"},
                                  {"X-Content-Type-Options", "nosniff"}}};
  if (page.status == 405) answer.headers.emplace_back("Allow", "GET, HEAD, POST");
  if (page.status == 429 || page.status == 503) answer.headers.emplace_back("Retry-After", "60");
  return answer;
}

}  // namespace

struct UnsubscribeServer::Impl {
  explicit Impl(const UnsubscribeServerOptions& given)
      : options(given),
        server({.address = given.address,
                .name = "unsubscribe",
                .connections_max = given.connections_max,
                .body_bytes_max = kBodyBytesMax,
                .requests_per_connection_max = kRequestsPerConnectionMax,
                .request_time_max = given.request_time_max,
                .answer_time_max = given.answer_time_max,
                .port_patience = given.port_patience},
               [this](ServedRequest request, HttpServer::Respond respond) {
                 Ask(std::move(request), std::move(respond));
               }),
        makers("unsubscribe", kThreads, kWaitingMax) {
    Refused();
  }
  ~Impl() {
    server.Stop();
    makers.Stop(absl::Now() + absl::Seconds(10));
  }

  void Ask(ServedRequest request, HttpServer::Respond respond);
  // Whether one more request fits into this second.
  bool TakeTurn();

  const UnsubscribeServerOptions options;
  // The server's thread's, as `turns`.
  absl::Duration second;
  int turns = 0;
  HttpServer server;
  base::BoundedExecutor makers;
};

bool UnsubscribeServer::Impl::TakeTurn() {
  const absl::Duration now = absl::Floor(base::MonotonicNow(), absl::Seconds(1));
  if (now != second) {
    second = now;
    turns = 0;
  }
  return ++turns <= options.requests_per_s_max;
}

void UnsubscribeServer::Impl::Ask(ServedRequest request, HttpServer::Respond respond) {
  if (!TakeTurn()) return respond(ServedOf(TooMany(429)));
  const bool accepted = makers.TrySubmit([this, respond, request = std::move(request)] {
    PageAnswer page;
    try {
      page = options.handle({request.method, request.target, request.content_type, request.body});
    } catch (const std::exception&) {
      log::Error("a request to unsubscribe failed; the answer is 500");
      page = {500, UnsubscribePage("This did not work", "Please try again later.")};
    }
    respond(ServedOf(std::move(page)));
  });
  if (!accepted) respond(ServedOf(TooMany(503)));
}

absl::StatusOr<std::unique_ptr<UnsubscribeServer>> UnsubscribeServer::Start(const UnsubscribeServerOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  STOCKALERT_RETURN_IF_ERROR(impl->server.Start());
  const int port = impl->server.port();
  return std::unique_ptr<UnsubscribeServer>(new UnsubscribeServer(std::move(impl), port));
}

UnsubscribeServer::UnsubscribeServer(std::unique_ptr<Impl> impl, int port) : impl_(std::move(impl)), port_(port) {}

UnsubscribeServer::~UnsubscribeServer() = default;

}  // namespace stockalert::notifier
