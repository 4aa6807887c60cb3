#include "services/common/http/admin_server.h"

#include <httplib.h>

#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/abseil.h"
#include "services/common/config/address.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/metrics/process_metrics.h"
#include "services/common/process/liveness.h"

namespace stockalert::http {
namespace {

// The gauges of each loop that is there; those of loops that have gone go.
class LoopGauges {
 public:
  void Set(const std::map<std::string, process::Liveness::Age>& ages) {
    const std::lock_guard lock(mutex_);
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
  std::mutex mutex_;
  prometheus::Family<prometheus::Gauge>& ages_ =
      prometheus::BuildGauge()
          .Name("stockalert_loop_last_turn_age_seconds")
          .Help("How long ago a loop last turned, or a queue that holds something last moved, while the process ran")
          .Register(*metrics::Registry());
  prometheus::Family<prometheus::Gauge>& stuck_ = prometheus::BuildGauge()
                                                      .Name("stockalert_loop_stuck")
                                                      .Help("1 where a loop has not turned for longer than its bound: /healthz fails by it")
                                                      .Register(*metrics::Registry());
  std::map<std::string, Gauges> gauges_;  // Guarded by mutex_.
};

}  // namespace

struct AdminServer::Impl {
  httplib::Server server;
  std::function<std::vector<std::string>()> not_ready_reasons;
  std::function<void()> before_scrape;
  process::Liveness* liveness = nullptr;
  std::optional<process::LivenessWatch> watch;
  LoopGauges loops;

  std::vector<std::string> NotReadyReasons() const { return not_ready_reasons ? not_ready_reasons() : std::vector<std::string>{}; }
  std::thread thread;
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const AdminServerOptions& options) {
  const absl::StatusOr<config::Address> address = config::ParseAddress(options.address);
  if (!address.ok()) return address.status();

  auto impl = std::make_unique<Impl>();
  impl->not_ready_reasons = options.not_ready_reasons;
  impl->before_scrape = options.before_scrape;
  impl->liveness = options.liveness;
  impl->watch.emplace(*options.liveness);
  httplib::Server& server = impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(2); };
  server.set_keep_alive_max_count(100);
  server.set_keep_alive_timeout(1);
  server.set_read_timeout(2, 0);
  server.set_write_timeout(2, 0);
  server.set_payload_max_length(1024);
  server.set_tcp_nodelay(true);
  server.set_exception_handler([](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) {
    log::Error("an HTTP handler failed; the answer is 500");
    response.status = 500;
  });
  // httplib's default allows other processes the same port at the same time.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  server.Get("/metrics", [self = impl.get()](const httplib::Request&, httplib::Response& response) {
    static auto& ready = metrics::GetGauge("stockalert_ready", "1 where /readyz says that the service can answer");
    ready.Set(self->NotReadyReasons().empty() ? 1 : 0);
    metrics::UpdateProcessMetrics();
    self->loops.Set(self->liveness->Ages());
    if (self->before_scrape) self->before_scrape();
    response.set_content(metrics::ExpositionText(), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/healthz", [self = impl.get()](const httplib::Request&, httplib::Response& response) {
    std::string text;
    for (const auto& [name, age] : self->liveness->FindStuck()) {
      absl::StrAppend(&text, "not alive: ", name, " has not turned for ", absl::ToInt64Seconds(age.age), " s (bound ",
                      absl::ToInt64Seconds(age.bound), " s)\n");
    }
    if (!text.empty()) response.status = 503;
    response.set_content(text.empty() ? "alive\n" : text, "text/plain");
  });
  server.Get("/readyz", [self = impl.get()](const httplib::Request&, httplib::Response& response) {
    const std::vector<std::string> reasons = self->NotReadyReasons();
    if (reasons.empty()) {
      response.set_content("ready\n", "text/plain");
      return;
    }
    std::string text;
    for (const std::string& reason : reasons) text += "not ready: " + reason + "\n";
    response.status = 503;
    response.set_content(text, "text/plain");
  });

  int port = -1;
  constexpr int kTries = 5;
  for (int attempt = 1; attempt <= kTries; ++attempt) {
    if (address->port == 0) {
      port = server.bind_to_any_port(address->host);
    } else if (server.bind_to_port(address->host, address->port)) {
      port = address->port;
    }
    if (port > 0) break;
    if (attempt < kTries) {
      log::Warning("cannot listen for HTTP; trying again", {{"address", options.address}, {"attempt", attempt}});
      absl::SleepFor(absl::Milliseconds(300));
    }
  }
  if (port <= 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.address, " for HTTP: is another process there? Choose another --http_address"));
  }
  impl->thread = std::thread([self = impl.get()] { self->server.listen_after_bind(); });
  while (!server.is_running()) absl::SleepFor(absl::Milliseconds(1));
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl), port));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl, int port) : impl_(std::move(impl)), port_(port) {}

AdminServer::~AdminServer() {
  impl_->server.stop();
  impl_->thread.join();
}

}  // namespace stockalert::http
