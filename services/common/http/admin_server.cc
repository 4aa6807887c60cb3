#include "services/common/http/admin_server.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/abseil.h"
#include "services/common/base/bounded_executor.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/http/http_server.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/common/metrics/process_metrics.h"

namespace stockalert::http {
namespace {

using Respond = HttpServer::Respond;

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

// All but the answers that take time happens on the server's thread.
struct AdminServer::Impl {
  // An answer that may wait for something (the database, a large text): made on a thread of its own, once for all who
  // ask meanwhile. Who asks while it is being made gets the next one, which is not older than the question.
  struct Slow {
    std::function<ServedAnswer()> make;
    bool running = false;
    std::vector<Respond> waiting;
  };

  explicit Impl(const AdminServerOptions& given)
      : options(given),
        server({.address = given.address,
                .name = "http",
                .connections_max = 512,
                .request_time_max = given.request_time_max,
                .answer_time_max = given.answer_time_max,
                .port_patience = given.port_patience},
               [this](const ServedRequest& request, Respond respond) { Ask(request, std::move(respond)); }),
        makers("http-answers", 2, 16),
        watch(*given.liveness) {
    slow["/metrics"].make = [this] { return Metrics(); };
    slow["/readyz"].make = [this] { return Readiness(); };
  }
  ~Impl() {
    server.Stop();
    // What is being made still posts to the server, which is there until the makers have ended.
    makers.Stop(absl::Now() + absl::Seconds(10));
    for (auto& [path, answer] : slow) answer.waiting.clear();
  }

  std::vector<std::string> NotReadyReasons() const {
    return options.not_ready_reasons ? options.not_ready_reasons() : std::vector<std::string>{};
  }
  ServedAnswer Metrics();
  ServedAnswer Readiness();
  ServedAnswer Health();

  void Ask(const ServedRequest& request, Respond respond);
  void Make(Slow& answer);

  const AdminServerOptions options;
  LoopGauges loops;
  HttpServer server;
  std::map<std::string, Slow> slow;
  base::BoundedExecutor makers;
  process::LivenessWatch watch;
};

ServedAnswer AdminServer::Impl::Metrics() {
  static auto& ready = metrics::GetGauge("stockalert_ready", "1 where /readyz says that the service can answer");
  ready.Set(NotReadyReasons().empty() ? 1 : 0);
  metrics::UpdateProcessMetrics();
  loops.Set(options.liveness->Ages());
  if (options.before_scrape) options.before_scrape();
  return {200, metrics::ExpositionText(), "text/plain; version=0.0.4; charset=utf-8"};
}

ServedAnswer AdminServer::Impl::Readiness() {
  std::string text;
  for (const std::string& reason : NotReadyReasons()) text += "not ready: " + reason + "\n";
  if (text.empty()) return {200, "ready\n"};
  return {503, text};
}

ServedAnswer AdminServer::Impl::Health() {
  std::string text;
  for (const auto& [name, age] : options.liveness->FindStuck()) {
    absl::StrAppend(&text, "not alive: ", name, " has not turned for ", absl::ToInt64Seconds(age.age), " s (bound ",
                    absl::ToInt64Seconds(age.bound), " s)\n");
  }
  if (text.empty()) return {200, "alive\n"};
  return {503, text};
}

void AdminServer::Impl::Ask(const ServedRequest& request, Respond respond) {
  if (request.method != "GET" && request.method != "HEAD") return respond({405, "only GET\n"});
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (path == "/healthz") return respond(Health());
  const auto found = slow.find(path);
  if (found == slow.end()) return respond({404, "there are /healthz, /readyz and /metrics\n"});
  found->second.waiting.push_back(std::move(respond));
  if (!found->second.running) Make(found->second);
}

void AdminServer::Impl::Make(Slow& answer) {
  answer.running = true;
  auto asked = std::make_shared<std::vector<Respond>>(std::exchange(answer.waiting, {}));
  const bool accepted = makers.TrySubmit([this, &answer, asked] {
    ServedAnswer made;
    try {
      made = answer.make();
    } catch (const std::exception&) {
      log::Error("an HTTP handler failed; the answer is 500");
      made = {500, "failed: see the log\n"};
    }
    server.Post([this, &answer, asked, made = std::move(made)] {
      for (const Respond& respond : *asked) respond(made);
      asked->clear();
      answer.running = false;
      if (!answer.waiting.empty()) Make(answer);
    });
  });
  // Only while the server ends.
  if (!accepted) asked->clear();
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const AdminServerOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  STOCKALERT_RETURN_IF_ERROR(impl->server.Start());
  const int port = impl->server.port();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl), port));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl, int port) : impl_(std::move(impl)), port_(port) {}

AdminServer::~AdminServer() = default;

}  // namespace stockalert::http
