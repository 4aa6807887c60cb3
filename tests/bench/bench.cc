// stockalert-bench: the load that tests/bench/run puts on a mesh of its own, and the limits that it holds the results
// against.
//
//   create-alert   CreateAlert calls by so many callers: calls/s, p50, p99.
//   load-alerts    creates many alerts by BatchCreateAlerts, far from any price.
//   fill-log       writes quotes to the topic `prices`, while the evaluator is stopped.
//   await-quotes   waits until the evaluator has folded so many quotes: quotes/s.
//   read-log       reads and decodes the same records with nothing behind: the limit for await-quotes.
//   latency        publishes quotes at a rate, and times those that trigger from their event time to the notification
//                  stream and to a webhook; beside it the time through Kafka alone, at the same rate.
//
// Each prints one line of JSON. Exit 1: a call failed, or a time ran out.
#include <grpcpp/grpcpp.h>
#include <httplib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/producer.h"
#include "services/common/kafka/topic_admin.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"
#include "stockalert/internal/v1/log.pb.h"
#include "stockalert/notification/v1/destination.grpc.pb.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "stockalert/ticker/v1/ticker.grpc.pb.h"
#include "stockalert/user/v1/user.grpc.pb.h"

namespace stockalert::bench {
namespace {

namespace alert_v1 = stockalert::alert::v1;
namespace user_v1 = stockalert::user::v1;
namespace ticker_v1 = stockalert::ticker::v1;
namespace notification_v1 = stockalert::notification::v1;

struct Flags {
  std::string user_address = "127.0.0.1:50051";
  std::string ticker_address = "127.0.0.1:50052";
  std::string alert_address = "127.0.0.1:50053";
  std::string notifier_address = "127.0.0.1:50054";
  std::string evaluator_http = "http://127.0.0.1:11056";
  std::string kafka = "127.0.0.1:9092";
  std::string admin_key;
  int callers = 32;
  int seconds = 15;
  int alerts = 100'000;
  int symbols = 100;
  int64_t quotes = 1'000'000;
  int64_t before = 0;
  int rate = 1'000;
};

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "stockalert-bench: %s\n", what.c_str());
  std::exit(1);
}

void Check(const grpc::Status& status, const std::string& what) {
  if (!status.ok()) Fail(what + ": code " + std::to_string(status.error_code()) + ": " + status.error_message());
}

int64_t NowUs() { return absl::ToUnixMicros(absl::Now()); }

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A connection of its own for each caller: one connection is one thread's work in the client.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void Prepare(grpc::ClientContext* context, const std::string& key, int deadline_s = 10) {
  context->AddMetadata("authorization", "Bearer " + key);
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(deadline_s));
}

std::string RegisterUser(const Flags& flags, const std::string& tag) {
  auto stub = user_v1::UserService::NewStub(Connect(flags.user_address));
  user_v1::RegisterUserRequest request;
  request.mutable_user()->set_email("bench-" + tag + "-" + std::to_string(NowUs()) + "@example.com");
  request.mutable_user()->set_display_name("Bench " + tag);
  user_v1::RegisterUserResponse response;
  grpc::ClientContext context;
  Prepare(&context, "");
  Check(stub->RegisterUser(&context, request, &response), "RegisterUser");
  return response.secret();
}

std::string Symbol(int index) { return "BENCH" + std::to_string(index); }

double PercentileMs(const std::vector<int64_t>& sorted_us, double share) {
  if (sorted_us.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(sorted_us.size() - 1));
  return static_cast<double>(sorted_us[index]) / 1000.0;
}

alert_v1::Alert TargetAlert(const std::string& symbol, int64_t target) {
  alert_v1::Alert alert;
  alert.set_symbol(symbol);
  auto* condition = alert.mutable_condition()->mutable_price_target();
  condition->set_comparison(alert_v1::PriceTarget::COMPARISON_AT_OR_ABOVE);
  condition->set_price(std::to_string(target));
  return alert;
}

void CreateAlerts(const Flags& flags) {
  std::vector<std::string> keys;
  keys.reserve(static_cast<size_t>(flags.callers));
  for (int i = 0; i < flags.callers; ++i) keys.push_back(RegisterUser(flags, std::to_string(i)));
  std::mutex mutex;
  std::vector<int64_t> latencies_us;
  std::atomic<int64_t> failures = 0;
  const int64_t begin_us = NowUs();
  const int64_t end_us = begin_us + int64_t{flags.seconds} * 1'000'000;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(flags.callers));
  for (int i = 0; i < flags.callers; ++i) {
    threads.emplace_back([&, i] {
      auto stub = alert_v1::AlertService::NewStub(Connect(flags.alert_address));
      std::vector<int64_t> own_us;
      for (int64_t n = 0; NowUs() < end_us; ++n) {
        alert_v1::CreateAlertRequest request;
        request.set_parent("users/me");
        *request.mutable_alert() = TargetAlert(Symbol(i), 100'000 + n);
        alert_v1::Alert alert;
        grpc::ClientContext context;
        Prepare(&context, keys[static_cast<size_t>(i)]);
        const int64_t call_us = NowUs();
        const grpc::Status status = stub->CreateAlert(&context, request, &alert);
        if (status.ok()) {
          own_us.push_back(NowUs() - call_us);
        } else if (failures++ == 0) {
          std::fprintf(stderr, "CreateAlert: %s\n", status.error_message().c_str());
        }
      }
      std::lock_guard lock(mutex);
      latencies_us.insert(latencies_us.end(), own_us.begin(), own_us.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double elapsed_s = static_cast<double>(NowUs() - begin_us) / 1e6;
  std::sort(latencies_us.begin(), latencies_us.end());
  std::printf(
      "{\"what\":\"create-alert\",\"callers\":%d,\"calls\":%zu,\"failures\":%lld,\"calls_per_s\":%.0f,\"p50_ms\":%.2f,"
      "\"p99_ms\":%.2f}\n",
      flags.callers, latencies_us.size(), static_cast<long long>(failures.load()),
      static_cast<double>(latencies_us.size()) / elapsed_s, PercentileMs(latencies_us, 0.5),
      PercentileMs(latencies_us, 0.99));
  if (failures > 0) std::exit(1);
}

void LoadAlerts(const Flags& flags) {
  const std::string key = RegisterUser(flags, "load");
  auto stub = alert_v1::AlertService::NewStub(Connect(flags.alert_address));
  constexpr int kBatch = 100;
  const int64_t begin_us = NowUs();
  for (int done = 0; done < flags.alerts; done += kBatch) {
    alert_v1::BatchCreateAlertsRequest request;
    request.set_parent("users/me");
    for (int i = done; i < std::min(done + kBatch, flags.alerts); ++i) {
      // Above every price that fill-log writes: in the index, never met.
      *request.add_requests()->mutable_alert() = TargetAlert(Symbol(i % flags.symbols), 1'000 + i / flags.symbols);
    }
    alert_v1::BatchCreateAlertsResponse response;
    grpc::ClientContext context;
    Prepare(&context, key, 30);
    Check(stub->BatchCreateAlerts(&context, request, &response), "BatchCreateAlerts");
    if (isatty(2) != 0) std::fprintf(stderr, "\r%d of %d alerts", done + kBatch, flags.alerts);
  }
  std::printf("{\"what\":\"load-alerts\",\"alerts\":%d,\"seconds\":%.1f}\n", flags.alerts,
              static_cast<double>(NowUs() - begin_us) / 1e6);
}

void FillLog(const Flags& flags) {
  kafka::ProducerOptions options;
  options.bootstrap = flags.kafka;
  options.client_id = "stockalert-bench";
  options.linger = absl::Milliseconds(5);
  auto producer = kafka::CreateProducer(options);
  if (!producer.ok()) Fail(std::string(producer.status().message()));
  std::atomic<int64_t> failures = 0;
  internal::v1::LogRecord record;
  auto* quote = record.mutable_quote();
  quote->set_session(internal::v1::TRADING_SESSION_REGULAR);
  quote->set_source("published");
  // Above any epoch that a fetcher of this mesh has had.
  quote->set_publisher_epoch(NowUs());
  const int64_t first_us = NowUs();
  std::string value;
  for (int64_t n = 0; n < flags.quotes; ++n) {
    const std::string symbol = Symbol(static_cast<int>(n % flags.symbols));
    quote->set_symbol(symbol);
    quote->set_price_micros(100'000'000 + (n * 7919) % 50'000'000);
    quote->set_event_time_us(first_us + n / flags.symbols);
    quote->set_sequence(n + 1);
    record.SerializeToString(&value);
    if (n % 50'000 == 49'999) {
      const absl::Status flushed = (*producer)->Flush(absl::Now() + absl::Seconds(60));
      if (!flushed.ok()) Fail(std::string(flushed.message()));
    }
    (*producer)->ProduceAsync(kafka::kPricesTopic, symbol, value, {},
                              [&](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
                                if (!delivery.ok()) ++failures;
                              });
  }
  const absl::Status flushed = (*producer)->Flush(absl::Now() + absl::Seconds(60));
  if (!flushed.ok() || failures > 0) Fail("not every quote was written");
  std::printf("{\"what\":\"fill-log\",\"quotes\":%lld}\n", static_cast<long long>(flags.quotes));
}

// The evaluator's count of accepted quotes, from its metrics.
int64_t AcceptedQuotes(const Flags& flags) {
  httplib::Client client(flags.evaluator_http);
  client.set_read_timeout(5);
  const auto reply = client.Get("/metrics");
  if (!reply || reply->status != 200) return -1;
  const std::string wanted = "stockalert_evaluator_quotes_total{result=\"accepted\"}";
  const size_t at = reply->body.find(wanted);
  if (at == std::string::npos) return 0;
  return static_cast<int64_t>(std::strtod(reply->body.c_str() + at + wanted.size(), nullptr));
}

void AwaitQuotes(const Flags& flags) {
  const int64_t begin_us = NowUs();
  while (AcceptedQuotes(flags) < flags.before + flags.quotes) {
    if (NowUs() - begin_us > 300'000'000) Fail("the evaluator has not folded every quote within 5 minutes");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const double elapsed_s = static_cast<double>(NowUs() - begin_us) / 1e6;
  std::printf("{\"what\":\"evaluator\",\"quotes\":%lld,\"seconds\":%.2f,\"quotes_per_s\":%.0f}\n",
              static_cast<long long>(flags.quotes), elapsed_s, static_cast<double>(flags.quotes) / elapsed_s);
}

void ReadLog(const Flags& flags) {
  kafka::AssignedConsumerOptions options;
  options.bootstrap = flags.kafka;
  options.client_id = "stockalert-bench";
  auto consumer = kafka::AssignedConsumer::Create(options);
  if (!consumer.ok()) Fail(std::string(consumer.status().message()));
  const absl::Status assigned = (*consumer)->AssignAll(kafka::kPricesTopic, kafka::kBeginning, absl::Seconds(10));
  if (!assigned.ok()) Fail(std::string(assigned.message()));
  internal::v1::LogRecord record;
  int64_t quotes = 0;
  int64_t begin_us = 0;
  while (quotes < flags.quotes) {
    const kafka::PollResult polled = (*consumer)->Poll(absl::Seconds(10), 10'000);
    if (polled.messages.empty() && polled.ends.empty()) Fail("the log has fewer quotes than expected");
    if (begin_us == 0) begin_us = NowUs();
    for (const kafka::Message& message : polled.messages) {
      if (record.ParseFromArray(message.value().data(), static_cast<int>(message.value().size())) && record.has_quote())
        ++quotes;
    }
  }
  const double elapsed_s = static_cast<double>(NowUs() - begin_us) / 1e6;
  std::printf("{\"what\":\"kafka-alone\",\"quotes\":%lld,\"seconds\":%.2f,\"quotes_per_s\":%.0f}\n",
              static_cast<long long>(quotes), elapsed_s, static_cast<double>(quotes) / elapsed_s);
}

// The times of those that began after the first second, in order: that one warms connections and caches.
std::vector<int64_t> Warm(const std::vector<std::pair<int64_t, int64_t>>& begin_and_latency_us, int64_t begin_us) {
  std::vector<int64_t> warm_us;
  for (const auto& [own_begin_us, latency_us] : begin_and_latency_us) {
    if (own_begin_us >= begin_us + 1'000'000) warm_us.push_back(latency_us);
  }
  std::sort(warm_us.begin(), warm_us.end());
  return warm_us;
}

// The time from a produce call to the record's arrival at a consumer, at `rate` records a second.
std::vector<int64_t> KafkaAloneUs(const Flags& flags, int64_t records) {
  kafka::TopicAdminOptions admin_options;
  admin_options.bootstrap = flags.kafka;
  admin_options.client_id = "stockalert-bench";
  auto admin = kafka::TopicAdmin::Create(admin_options);
  if (!admin.ok()) Fail(std::string(admin.status().message()));
  kafka::TopicSpec spec;
  spec.name = "bench-" + std::to_string(NowUs());
  const absl::Status created = (*admin)->CreateTopic(spec, absl::Seconds(10));
  if (!created.ok()) Fail(std::string(created.message()));
  kafka::ProducerOptions producer_options;
  producer_options.bootstrap = flags.kafka;
  producer_options.client_id = "stockalert-bench";
  producer_options.topics = {spec.name};
  auto producer = kafka::CreateProducer(producer_options);
  kafka::AssignedConsumerOptions consumer_options;
  consumer_options.bootstrap = flags.kafka;
  consumer_options.client_id = "stockalert-bench";
  auto consumer = kafka::AssignedConsumer::Create(consumer_options);
  if (!producer.ok() || !consumer.ok()) Fail("no Kafka client");
  absl::Status ready = (*admin)->AwaitTopics({spec.name}, absl::Now() + absl::Seconds(10));
  if (ready.ok()) ready = (*consumer)->AssignAll(spec.name, kafka::kBeginning, absl::Seconds(10));
  if (!ready.ok()) Fail(std::string(ready.message()));
  const int64_t begin_us = NowUs();
  std::thread writer([&] {
    for (int64_t n = 0; n < records; ++n) {
      const int64_t due_us = begin_us + n * 1'000'000 / flags.rate;
      if (const int64_t wait_us = due_us - NowUs(); wait_us > 0) absl::SleepFor(absl::Microseconds(wait_us));
      (*producer)->ProduceAsync(spec.name, "k", std::to_string(NowUs()), {}, nullptr);
    }
    (void)(*producer)->Flush(absl::Now() + absl::Seconds(10));
  });
  std::vector<std::pair<int64_t, int64_t>> latencies_us;
  const int64_t give_up_us = NowUs() + records * 1'000'000 / flags.rate + 20'000'000;
  while (static_cast<int64_t>(latencies_us.size()) < records && NowUs() < give_up_us) {
    const kafka::PollResult polled = (*consumer)->Poll(absl::Seconds(1), 1000);
    const int64_t now_us = NowUs();
    for (const kafka::Message& message : polled.messages) {
      const int64_t sent_us = std::strtoll(std::string(message.value()).c_str(), nullptr, 10);
      latencies_us.emplace_back(sent_us, now_us - sent_us);
    }
  }
  writer.join();
  return Warm(latencies_us, begin_us);
}

// An alert of the user's that triggers whenever the symbol comes to 100 from below.
void CreateRepeatingAlert(const Flags& flags, const std::string& key, const std::string& symbol) {
  auto alerts = alert_v1::AlertService::NewStub(Connect(flags.alert_address));
  alert_v1::CreateAlertRequest create;
  create.set_parent("users/me");
  *create.mutable_alert() = TargetAlert(symbol, 100);
  create.mutable_alert()->set_trigger_policy(alert_v1::Alert::TRIGGER_POLICY_REPEAT);
  alert_v1::Alert alert;
  grpc::ClientContext context;
  Prepare(&context, key);
  Check(alerts->CreateAlert(&context, create, &alert), "CreateAlert");
}

// A user's stream of notifications, open once it is made, and how long after its event each came.
class NotificationTimer {
 public:
  NotificationTimer(const Flags& flags, const std::string& key)
      : stub_(notification_v1::NotificationService::NewStub(Connect(flags.notifier_address))) {
    Prepare(&context_, key, flags.seconds + 60);
    notification_v1::WatchNotificationsRequest watch;
    watch.set_parent("users/me");
    stream_ = stub_->WatchNotifications(&context_, watch);
    if (!stream_->Read(&response_)) Fail("WatchNotifications ended");
    reader_ = std::thread([this] { ReadAll(); });
  }

  // Begin and latency of `wanted` notifications, which the stream has 10 s more for; other than so many end the bench.
  std::vector<std::pair<int64_t, int64_t>> Take(int64_t wanted) {
    expected_ = wanted;
    for (int i = 0; seen_ < wanted && i < 1000; ++i) absl::SleepFor(absl::Milliseconds(10));
    context_.TryCancel();
    reader_.join();
    if (static_cast<int64_t>(latencies_us_.size()) != wanted) {
      Fail(std::to_string(latencies_us_.size()) + " notifications for " + std::to_string(wanted) + " triggers");
    }
    return latencies_us_;
  }

 private:
  void ReadAll() {
    while (stream_->Read(&response_)) {
      const int64_t now_us = NowUs();
      for (const auto& notification : response_.notifications()) {
        const int64_t event_us =
            notification.event_time().seconds() * 1'000'000 + notification.event_time().nanos() / 1000;
        latencies_us_.emplace_back(event_us, now_us - event_us);
        ++seen_;
      }
      if (seen_ == expected_) break;
    }
  }

  grpc::ClientContext context_;
  const std::unique_ptr<notification_v1::NotificationService::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<notification_v1::WatchNotificationsResponse>> stream_;
  notification_v1::WatchNotificationsResponse response_;   // The reader's, once it runs.
  std::vector<std::pair<int64_t, int64_t>> latencies_us_;  // Likewise, until it has ended.
  std::atomic<int64_t> expected_ = -1;
  std::atomic<int64_t> seen_ = 0;
  std::thread reader_;
};

// A user's webhook, verified once it is made, and how long after its event each notification came. A repetition counts
// once: deliveries are at least once.
class WebhookTimer {
 public:
  WebhookTimer(const Flags& flags, const std::string& key) {
    server_.set_tcp_nodelay(true);
    server_.set_keep_alive_max_count(1'000'000);
    server_.Post("/hook", [this](const httplib::Request& request, httplib::Response& response) {
      Answer(request, NowUs(), response);
    });
    const int port = server_.bind_to_any_port("127.0.0.1");
    if (port <= 0) Fail("no port for the webhooks");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    auto stub = notification_v1::DestinationService::NewStub(Connect(flags.notifier_address));
    notification_v1::CreateDestinationRequest create;
    create.set_parent("users/me");
    create.mutable_destination()->set_display_name("bench");
    create.mutable_destination()->mutable_webhook()->set_url("http://127.0.0.1:" + std::to_string(port) + "/hook");
    notification_v1::CreateDestinationResponse created;
    grpc::ClientContext context;
    Prepare(&context, key);
    Check(stub->CreateDestination(&context, create, &created), "CreateDestination");
    AwaitActive(*stub, key, created.destination().name());
  }
  ~WebhookTimer() {
    server_.stop();
    thread_.join();
  }

  // Begin and latency of `wanted` notifications, as those of NotificationTimer.
  std::vector<std::pair<int64_t, int64_t>> Take(int64_t wanted) {
    for (int i = 0; i < 1000; ++i) {
      {
        const std::lock_guard lock(mutex_);
        if (static_cast<int64_t>(latencies_us_.size()) >= wanted) break;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    const std::lock_guard lock(mutex_);
    if (static_cast<int64_t>(latencies_us_.size()) != wanted) {
      Fail(std::to_string(latencies_us_.size()) + " webhooks for " + std::to_string(wanted) + " triggers");
    }
    return latencies_us_;
  }

 private:
  static void AwaitActive(notification_v1::DestinationService::Stub& stub, const std::string& key,
                          const std::string& name) {
    for (int i = 0; i < 200; ++i) {
      notification_v1::GetDestinationRequest get;
      get.set_name(name);
      notification_v1::Destination destination;
      grpc::ClientContext context;
      Prepare(&context, key);
      Check(stub.GetDestination(&context, get, &destination), "GetDestination");
      if (destination.state() == notification_v1::Destination::STATE_ACTIVE) return;
      absl::SleepFor(absl::Milliseconds(50));
    }
    Fail("the webhook was not verified within 10 s");
  }

  void Answer(const httplib::Request& request, int64_t now_us, httplib::Response& response) {
    const nlohmann::json content = nlohmann::json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!content.is_object()) {
      response.status = 400;
      return;
    }
    const nlohmann::json& data = content["data"];
    if (data.contains("challenge")) {
      response.set_content(nlohmann::json{{"challenge", data["challenge"]}}.dump(), "application/json");
      return;
    }
    response.status = 204;
    absl::Time event;
    if (!data.contains("event_time") ||
        !absl::ParseTime(absl::RFC3339_full, data["event_time"].get<std::string>(), &event, nullptr))
      return;
    const int64_t event_us = absl::ToUnixMicros(event);
    const std::lock_guard lock(mutex_);
    if (ids_.insert(request.get_header_value("webhook-id")).second)
      latencies_us_.emplace_back(event_us, now_us - event_us);
  }

  httplib::Server server_;
  std::thread thread_;
  std::mutex mutex_;
  std::set<std::string> ids_;                              // Under mutex_.
  std::vector<std::pair<int64_t, int64_t>> latencies_us_;  // Likewise.
};

// Of a call of PublishQuotes.
constexpr int kCallQuotes = 10;

// One call's quotes: the first is the alert's symbol, the rest is other tickers' traffic.
ticker_v1::PublishQuotesRequest QuotesOf(const std::string& symbol, bool crosses) {
  ticker_v1::PublishQuotesRequest request;
  const int64_t now_us = NowUs();
  for (int i = 0; i < kCallQuotes; ++i) {
    auto* quote = request.add_quotes();
    quote->set_symbol(i == 0 ? symbol : Symbol(i));
    quote->set_price(i == 0 && crosses ? "101" : "99");
    quote->mutable_event_time()->set_seconds(now_us / 1'000'000);
    quote->mutable_event_time()->set_nanos(static_cast<int32_t>(now_us % 1'000'000) * 1000);
    quote->set_session(stockalert::quote::v1::SESSION_REGULAR);
  }
  return request;
}

struct Traffic {
  int64_t begin_us = 0;
  double elapsed_s = 0;
  int64_t published = 0;
  int64_t triggers = 0;  // Quotes that cross the target: one in a hundred.
};

// Registers the tickers and publishes at flags.rate quotes a second for flags.seconds.
Traffic PublishTraffic(const Flags& flags, const std::string& symbol) {
  auto tickers = ticker_v1::TickerService::NewStub(Connect(flags.ticker_address));
  for (int i = 0; i < kCallQuotes; ++i) {
    ticker_v1::RegisterTickerRequest request;
    request.set_symbol(i == 0 ? symbol : Symbol(i));
    ticker_v1::Ticker ticker;
    grpc::ClientContext context;
    Prepare(&context, flags.admin_key);
    Check(tickers->RegisterTicker(&context, request, &ticker), "RegisterTicker");
  }
  Traffic traffic;
  const int64_t calls = int64_t{flags.seconds} * flags.rate / kCallQuotes;
  traffic.begin_us = NowUs();
  for (int64_t call = 0; call < calls; ++call) {
    const int64_t due_us = traffic.begin_us + call * kCallQuotes * 1'000'000 / flags.rate;
    if (const int64_t wait_us = due_us - NowUs(); wait_us > 0) absl::SleepFor(absl::Microseconds(wait_us));
    const bool crosses = call % 10 == 9;
    if (crosses) ++traffic.triggers;
    ticker_v1::PublishQuotesResponse answer;
    grpc::ClientContext context;
    Prepare(&context, flags.admin_key);
    Check(tickers->PublishQuotes(&context, QuotesOf(symbol, crosses), &answer), "PublishQuotes");
    traffic.published += answer.published_count();
  }
  traffic.elapsed_s = static_cast<double>(NowUs() - traffic.begin_us) / 1e6;
  return traffic;
}

void Latency(const Flags& flags) {
  const std::string key = RegisterUser(flags, "latency");
  const std::string symbol = "LATENCY";
  CreateRepeatingAlert(flags, key, symbol);
  WebhookTimer webhooks(flags, key);
  NotificationTimer notifications(flags, key);
  const Traffic traffic = PublishTraffic(flags, symbol);
  const std::vector<int64_t> warm_us = Warm(notifications.Take(traffic.triggers), traffic.begin_us);
  const std::vector<int64_t> webhook_us = Warm(webhooks.Take(traffic.triggers), traffic.begin_us);
  const std::vector<int64_t> kafka_us = KafkaAloneUs(flags, int64_t{flags.rate} * std::min(flags.seconds, 10));
  std::printf(
      "{\"what\":\"latency\",\"quotes_per_s\":%.0f,\"notifications\":%zu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
      "\"webhook_p50_ms\":%.2f,\"webhook_p99_ms\":%.2f,"
      "\"kafka_alone_p50_ms\":%.2f,\"kafka_alone_p99_ms\":%.2f}\n",
      static_cast<double>(traffic.published) / traffic.elapsed_s, warm_us.size(), PercentileMs(warm_us, 0.5),
      PercentileMs(warm_us, 0.99), PercentileMs(webhook_us, 0.5), PercentileMs(webhook_us, 0.99),
      PercentileMs(kafka_us, 0.5), PercentileMs(kafka_us, 0.99));
}

}  // namespace

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Load for a StockAlert mesh, and the limits to hold it against");
  app.add_option("--user_address", flags.user_address, "UserService, host:port");
  app.add_option("--ticker_address", flags.ticker_address, "TickerService, host:port");
  app.add_option("--alert_address", flags.alert_address, "AlertService, host:port");
  app.add_option("--notifier_address", flags.notifier_address, "NotificationService, host:port");
  app.add_option("--evaluator_http", flags.evaluator_http, "The evaluator's HTTP address, with http://");
  app.add_option("--kafka", flags.kafka, "Kafka, host:port");
  app.add_option("--callers", flags.callers, "Callers at once")->check(CLI::Range(1, 256));
  app.add_option("--seconds", flags.seconds, "How long")->check(CLI::Range(1, 600));
  app.add_option("--alerts", flags.alerts, "How many alerts")->check(CLI::Range(1, 10'000'000));
  app.add_option("--symbols", flags.symbols, "Over how many symbols")->check(CLI::Range(1, 10'000));
  app.add_option("--quotes", flags.quotes, "How many quotes")->check(CLI::Range(1, 100'000'000));
  app.add_option("--before", flags.before, "Quotes that the evaluator had folded before fill-log");
  app.add_option("--rate", flags.rate, "Quotes a second")->check(CLI::Range(10, 100'000));
  app.add_option("--admin_key", flags.admin_key, "Only by the environment in scripts")->envname("STOCKALERT_ADMIN_KEY");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_subcommand("create-alert", "CreateAlert calls")->callback([&] { CreateAlerts(flags); });
  app.add_subcommand("load-alerts", "Creates many alerts")->callback([&] { LoadAlerts(flags); });
  app.add_subcommand("fill-log", "Writes quotes to the log")->callback([&] { FillLog(flags); });
  app.add_subcommand("count-quotes", "Prints how many quotes the evaluator has folded")->callback([&] {
    std::printf("%lld\n", static_cast<long long>(AcceptedQuotes(flags)));
  });
  app.add_subcommand("await-quotes", "Waits for the evaluator")->callback([&] { AwaitQuotes(flags); });
  app.add_subcommand("read-log", "Reads the log with nothing behind")->callback([&] { ReadLog(flags); });
  app.add_subcommand("latency", "From a quote to its notification")->callback([&] { Latency(flags); });
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace stockalert::bench

int main(int argc, char** argv) { return stockalert::bench::Main(argc, argv); }
