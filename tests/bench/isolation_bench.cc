// stockalert-bench-isolation: the receivers of tests/bench/isolation, good ones and bad ones, and the triggers whose
// webhooks reach the good ones sooner or later.
//
// Prints a line of JSON with its URLs: {"good": URL, "bad": {NAME: URL}, "tame": [URL]}; of the tame ones, which
// behave, there are as many as bad ones. Then, for each line of JSON that it is given,
// {"good": [USER], "others": [USER], "rate": PER_S, "seconds": N}, it writes triggers of these users by turns, and
// prints how long after its trigger each webhook reached the good receiver: {"count": N, "lost": N, "p50_ms": X,
// "p99_ms": X}. Ends with its input. Exit 1: something failed; what, is on standard error.
#include <httplib.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/base/ids.h"
#include "services/common/base/mutex.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/certificates/certificates.h"
#include "tests/support/hostile_receiver/hostile_receiver.h"

namespace stockalert::bench {
namespace {

using testing::Answer;
using testing::Answers;
using testing::HostileReceiver;
using testing::ReceiverConnection;
using Json = nlohmann::json;

// Connections, caches and plans warm up first.
constexpr int64_t kWarmUpUs = 3'000'000;
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr int kGoodThreads = 128;

[[noreturn]] void Quit(const std::string& what) {
  std::fprintf(stderr, "stockalert-bench-isolation: %s\n", what.c_str());
  std::exit(1);
}

int64_t NowUs() { return absl::ToUnixMicros(absl::Now()); }

double PercentileMs(const std::vector<int64_t>& sorted_us, double share) {
  if (sorted_us.empty()) return 0;
  return static_cast<double>(sorted_us[static_cast<size_t>(share * static_cast<double>(sorted_us.size() - 1))]) / 1000;
}

// Answers at once, and remembers how long after its event each webhook came first.
class GoodReceiver {
 public:
  GoodReceiver() {
    server_.set_tcp_nodelay(true);
    server_.set_keep_alive_max_count(1'000'000);
    // One for each connection.
    server_.new_task_queue = [] { return new httplib::ThreadPool(kGoodThreads); };
    server_.Post("/good", [this](const httplib::Request& request, httplib::Response& response) {
      Take(request, NowUs());
      response.status = 204;
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    if (port_ <= 0) Quit("no port for the good receiver");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~GoodReceiver() {
    server_.stop();
    thread_.join();
  }

  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/good"; }
  // Counts those of events since then.
  void Begin(int64_t since_us) {
    const base::MutexLock lock(mutex_);
    since_us_ = since_us;
    seen_.clear();
    latencies_us_.clear();
  }
  std::vector<int64_t> Take(size_t wanted) {
    for (const int64_t until_us = NowUs() + absl::ToInt64Microseconds(kPatience); NowUs() < until_us;) {
      {
        const base::MutexLock lock(mutex_);
        if (latencies_us_.size() >= wanted) break;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    const base::MutexLock lock(mutex_);
    return latencies_us_;
  }

 private:
  void Take(const httplib::Request& request, int64_t now_us) {
    const Json content = Json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    absl::Time event;
    if (!content.is_object() ||
        !absl::ParseTime(absl::RFC3339_full, content["data"].value("event_time", ""), &event, nullptr))
      return;
    const int64_t event_us = absl::ToUnixMicros(event);
    const base::MutexLock lock(mutex_);
    if (event_us < since_us_ || !seen_.insert(request.get_header_value("webhook-id")).second) return;
    latencies_us_.push_back(now_us - event_us);
  }

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  base::Mutex mutex_;
  int64_t since_us_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_set<std::string> seen_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> latencies_us_ ABSL_GUARDED_BY(mutex_);
};

HostileReceiver::Behaviour Drips(const std::string& begin) {
  return [begin](ReceiverConnection& connection) {
    connection.Read();
    if (!connection.Write(begin)) return;
    while (connection.Write("x")) absl::SleepFor(absl::Milliseconds(100));
  };
}

// `bytes` < 0: without end.
HostileReceiver::Behaviour Floods(const std::string& head, int64_t bytes) {
  return [head, bytes](ReceiverConnection& connection) {
    const std::string piece(64 * 1024, 'x');
    connection.Read();
    if (!connection.Write(head)) return;
    for (int64_t left = bytes; left != 0 && connection.Write(piece);) {
      if (left > 0) left = std::max<int64_t>(left - static_cast<int64_t>(piece.size()), 0);
    }
  };
}

std::map<std::string, HostileReceiver::Behaviour> Behaviours(const std::string& loopback_url) {
  return {
      {"slow headers", Drips("HTTP/1.1 200 OK\r\nX: ")},
      {"slow body", Drips("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")},
      {"silent",
       [](ReceiverConnection& connection) {
         connection.Read();
         connection.AwaitEnd();
       }},
      {"endless body", Floods("HTTP/1.1 200 OK\r\n\r\n", -1)},
      {"100 MB", Floods("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", 104'857'600)},
      {"500", Answers(Answer(500))},
      {"429 with Retry-After", Answers(Answer(429, "Retry-After: 2\r\n"))},
      {"429 without Retry-After", Answers(Answer(429))},
      {"410", Answers(Answer(410))},
      {"redirect to loopback", Answers(Answer(307, "Location: " + loopback_url + "\r\n"))},
      {"reset",
       [](ReceiverConnection& connection) {
         connection.Read();
         connection.Reset();
       }},
      {"HTTP/1.0",
       [](ReceiverConnection& connection) {
         connection.Read();
         connection.Write("HTTP/1.0 200 OK\r\n\r\nthanks");
       }},
  };
}

// The bad receivers, of every kind one.
class BadReceivers {
 public:
  explicit BadReceivers(const std::string& loopback_url) {
    for (const auto& [name, behaviour] : Behaviours(loopback_url)) {
      receivers_.push_back(std::make_unique<HostileReceiver>(behaviour));
      urls_[name] = receivers_.back()->Url("http", "127.0.0.1");
    }
    const testing::Authority authority("bad receivers");
    receivers_.push_back(std::make_unique<HostileReceiver>(
        Answers(Answer(204)), authority.Issue({.dns_names = {"other.example"}, .ip_addresses = {"127.0.0.9"}})));
    urls_["TLS of another name"] = receivers_.back()->Url("https", "127.0.0.1");
    urls_["a name without address"] = "http://receiver.invalid/hook";
    urls_["refused connection"] = "http://127.0.0.3:" + std::to_string(receivers_.back()->port()) + "/hook";
  }
  const Json& urls() const { return urls_; }

 private:
  std::vector<std::unique_ptr<HostileReceiver>> receivers_;
  Json urls_ = Json::object();
};

class TameReceivers {
 public:
  explicit TameReceivers(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      receivers_.push_back(std::make_unique<HostileReceiver>(Answers(Answer(204))));
      urls_.push_back(receivers_.back()->Url("http", "127.0.0.1"));
    }
  }
  const Json& urls() const { return urls_; }

 private:
  std::vector<std::unique_ptr<HostileReceiver>> receivers_;
  Json urls_ = Json::array();
};

class Triggers {
 public:
  explicit Triggers(const std::string& bootstrap) {
    kafka::ProducerOptions options;
    options.bootstrap = bootstrap;
    options.client_id = "stockalert-bench";
    auto producer = kafka::CreateProducer(options);
    if (!producer.ok()) Quit(std::string(producer.status().message()));
    producer_ = *std::move(producer);
  }

  void Write(const std::string& user_id, int64_t event_us) {
    internal::v1::TriggerMessage message;
    message.set_user_id(user_id);
    message.set_summary("AAPL at or above 150");
    message.set_note("Sell half of it, and look at the rest once more in the evening");
    message.set_delivery(internal::v1::TriggerMessage::DELIVERY_DEFAULTS);
    internal::v1::AlertTriggered& trigger = *message.mutable_trigger();
    trigger.set_alert_id(alert_id_);
    trigger.set_symbol("AAPL");
    trigger.set_revision(1);
    trigger.set_trigger_number(++number_);
    trigger.set_price_micros(150'250'000);
    trigger.set_event_time_us(event_us);
    trigger.set_reference_micros(150'000'000);
    producer_->ProduceAsync(kafka::kTriggersTopic, user_id, message.SerializeAsString(), {},
                            [](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
                              if (!delivery.ok()) Quit(std::string(delivery.status().message()));
                            });
  }

 private:
  std::unique_ptr<kafka::Producer> producer_;
  base::SystemIdSource ids_;
  const std::string alert_id_ = ids_.NewUuid();
  int64_t number_ = 0;
};

struct Round {
  std::vector<std::string> good, others;  // Users.
  int64_t rate = 0;                       // Triggers a second.
  int64_t seconds = 0;
};

Json Run(const Round& round, Triggers& triggers, GoodReceiver& receiver) {
  std::vector<std::string> users = round.good;
  users.insert(users.end(), round.others.begin(), round.others.end());
  // The notifier may still be joining its group.
  receiver.Begin(NowUs());
  triggers.Write(round.good.front(), NowUs());
  if (receiver.Take(1).empty()) Quit("the notifier sends nothing");
  const int64_t begin_us = NowUs();
  const int64_t count = kWarmUpUs * round.rate / 1'000'000 + round.seconds * round.rate;
  receiver.Begin(begin_us + kWarmUpUs);
  size_t wanted = 0;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t due_us = begin_us + n * 1'000'000 / round.rate;
    if (const int64_t wait_us = due_us - NowUs(); wait_us > 0) absl::SleepFor(absl::Microseconds(wait_us));
    const size_t turn = static_cast<size_t>(n) % users.size();
    const int64_t event_us = NowUs();
    if (turn < round.good.size() && event_us >= begin_us + kWarmUpUs) ++wanted;
    triggers.Write(users[turn], event_us);
  }
  std::vector<int64_t> latencies_us = receiver.Take(wanted);
  std::sort(latencies_us.begin(), latencies_us.end());
  return {{"count", wanted},
          {"lost", wanted - std::min(wanted, latencies_us.size())},
          {"p50_ms", PercentileMs(latencies_us, 0.5)},
          {"p99_ms", PercentileMs(latencies_us, 0.99)}};
}

void Serve(const std::string& bootstrap) {
  GoodReceiver good;
  std::optional<BadReceivers> bad;
  std::optional<TameReceivers> tame;
  // In life they are on other machines: they get the processors' time that nobody else wants. Threads inherit it.
  std::thread([&] {
    if (setpriority(PRIO_PROCESS, 0, 19) != 0) Quit("the receivers beside the good one cannot be made nice");
    bad.emplace(good.Url());
    tame.emplace(bad->urls().size());
  }).join();
  Triggers triggers(bootstrap);
  std::cout << Json{{"good", good.Url()}, {"bad", bad->urls()}, {"tame", tame->urls()}}.dump() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const Json asked = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!asked.is_object()) Quit("not a line of JSON: " + line);
    const Round round{asked["good"].get<std::vector<std::string>>(), asked["others"].get<std::vector<std::string>>(),
                      asked["rate"].get<int64_t>(), asked["seconds"].get<int64_t>()};
    std::cout << Run(round, triggers, good).dump() << std::endl;
  }
}

}  // namespace

int IsolationMain(int argc, char** argv) {
  std::string bootstrap;
  CLI::App app("Receivers, good and bad, and triggers for them");
  app.add_option("--kafka", bootstrap, "Kafka, host:port")->required();
  CLI11_PARSE(app, argc, argv);
  Serve(bootstrap);
  return 0;
}

}  // namespace stockalert::bench

int main(int argc, char** argv) { return stockalert::bench::IsolationMain(argc, argv); }
