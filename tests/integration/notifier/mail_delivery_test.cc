// From the queue to a real mail server: what arrives, and what waits while it is away. The clock is the test's.
#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/notifier/delivery/delivery_worker.h"
#include "services/notifier/delivery/kind_translator.h"
#include "services/notifier/delivery/mail_request_sender.h"
#include "tests/support/deliveries/in_memory_deliveries.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"
#include "tests/support/mail_server/mail_server.h"
#include "tests/support/png/png.h"
#include "tests/support/sample_charts/scripted_bars.h"

namespace stockalert::notifier {
namespace {

using testing::MailServer;

constexpr char kKeys[] = "k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

class NoSender final : public RequestSender {
 public:
  void Send(const OutgoingRequest&, Done done) override { done({}); }
};

mail::SmtpOptions OptionsFor(int port) {
  mail::SmtpOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.tls = mail::SmtpTls::kNone;
  return options;
}

// An hour that ends with a price of 150.25.
std::vector<PriceBar> RisingBars(int64_t end_us) {
  std::vector<PriceBar> bars;
  for (int64_t i = 0; i < 60; ++i) {
    const int64_t close = 149'070'000 + i * 20'000;
    bars.push_back({end_us - (60 - i) * 60'000'000, close - 20'000, close + 10'000, close - 30'000, close});
  }
  return bars;
}

struct Fixture {
  explicit Fixture(int port) : client(OptionsFor(port), clock.monotonic()) {
    bars.Answers([this](const auto&) { return RisingBars(clock.NowUs()); });
  }

  std::string Active(const std::string& user, const std::string& address) {
    const auto checked = kinds.Find(KindId::kEmail)->Check({{"address", address}});
    REQUIRE(checked.ok());
    Destination destination;
    destination.id = ids.NewUuid();
    destination.user_id = user;
    destination.kind = KindId::kEmail;
    destination.target_hash = destination.id;
    destination.host = checked->host;
    destination.sealed_settings = secrets.Seal(checked->settings, destination.id);
    destination.state = DestinationState::kActive;
    REQUIRE(
        store.Create(destination, NewDelivery{ids.NewUuid(), DeliveryKind::kVerification, "c"}, {}, 1000, clock.NowUs())
            .ok());
    REQUIRE(*store.Cancel(user, destination.id, clock.NowUs()) == 1);
    return destination.id;
  }
  std::string Queue(const std::string& user, const std::string& note = "") {
    StoredNotification notification;
    notification.id = ids.NewUuid();
    notification.user_id = user;
    notification.symbol = "AAPL";
    notification.price_micros = 150'250'000;
    notification.reference_micros = 150'000'000;
    notification.summary = "AAPL at or above 150";
    notification.note = note;
    notification.event_time_us = notification.create_time_us = clock.NowUs();
    return store.Queue(notification, clock.NowUs()).at(0);
  }
  // Until nothing is under way and nothing is to be done now; returns how long that lasts.
  absl::Duration RunUntilQuiet() {
    for (;;) {
      wakes = 0;
      const absl::Duration pause = worker.RunOnce();
      if (worker.in_flight() > 0) {
        REQUIRE(testing::Eventually([&] { return wakes > 0; }));
      } else if (pause > absl::ZeroDuration() && wakes == 0) {
        return pause;
      }
    }
  }
  void RunFor(absl::Duration time) {
    while (time > absl::ZeroDuration()) {
      const absl::Duration step = std::min(RunUntilQuiet(), time);
      clock.Advance(step);
      time -= step;
    }
    RunUntilQuiet();
  }

  testing::FakeClock clock;
  testing::FakeIds ids;
  Kinds kinds{EgressGuard(), KindHosts(), MailIdentity{"alerts@example.org", "StockAlert", "alerts@example.org"}};
  SecretBox secrets = SecretBox::FromText(kKeys).value();
  KindTranslator translator{kinds, secrets};
  testing::InMemoryDeliveries store;
  std::atomic<int> wakes{0};
  NoSender others;
  testing::ScriptedBars bars;
  PictureMaker pictures{bars, ChartFont::Load(), clock.monotonic()};
  mail::SmtpClient client;
  MailRequestSender sender{client, others, &pictures};
  DeliveryWorker worker{DeliveryWorkerOptions(), store, sender, translator, clock, [] { return 0.5; },
                        [this] { ++wakes; }};
};

std::string UserOf(int i) { return absl::StrCat("11111111-1111-4111-8111-11111111111", i); }

TEST_CASE("a notification arrives with its note, its emoji and both of its parts") {
  MailServer server;
  Fixture f(server.port());
  f.Active(UserOf(1), "ann@example.net");
  const std::string id = f.Queue(UserOf(1), "Sell \xf0\x9f\x9a\x80\r\nhalf <b>");
  f.RunUntilQuiet();
  const DeliveryWithAttempts done = *f.store.GetDelivery(UserOf(1), id);
  CHECK(done.delivery.state == DeliveryState::kSucceeded);
  REQUIRE(done.attempts.size() == 1);
  CHECK(done.attempts[0].http_status == 250);
  CHECK(done.attempts[0].answer == "2.0.0 kept");
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 1; }));
  const nlohmann::json mail = server.mails()[0];
  CHECK(testing::HeaderOf(mail, "Subject") == "AAPL at 150.25");
  CHECK(testing::HeaderOf(mail, "Message-ID") == absl::StrCat("<", WebhookId(id), "@example.org>"));
  CHECK(testing::HeaderOf(mail, "List-Unsubscribe") ==
        absl::StrCat("<mailto:alerts@example.org?subject=unsubscribe%20", done.delivery.destination_id, ">"));
  const std::string text = mail["plain"]["text"], html = mail["html"]["text"];
  CHECK(text.find("Sell \xf0\x9f\x9a\x80\r\nhalf <b>\r\n") != std::string::npos);
  CHECK(html.find("Sell \xf0\x9f\x9a\x80<br>\r\nhalf &lt;b&gt;") != std::string::npos);
}

TEST_CASE("a mail about a trigger has a picture, whatever its note holds") {
  MailServer server;
  Fixture f(server.port());
  f.Active(UserOf(1), "ann@example.net");
  const std::string id = f.Queue(
      UserOf(1), "\xf0\x9f\x9a\x80\r\nContent-ID: <x@y>\r\n\r\n--boundary\n\"><img src=http://example.com/spy.png>");
  f.RunUntilQuiet();
  CHECK(f.store.GetDelivery(UserOf(1), id)->delivery.state == DeliveryState::kSucceeded);
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 1; }));
  const nlohmann::json mail = server.mails()[0];
  CHECK(mail["types"] == nlohmann::json::array({"multipart/mixed", "multipart/alternative", "text/plain",
                                                "multipart/related", "text/html", "image/png"}));
  CHECK(mail["defects"].empty());
  const std::string content_id = absl::StrCat("chart.", WebhookId(id), "@example.org");
  const std::string text = mail["plain"]["text"], html = mail["html"]["text"];
  CHECK(html.find(absl::StrCat("<img src=\"cid:", content_id, "\" alt=\"Chart of the last prices of AAPL")) !=
        std::string::npos);
  CHECK(html.find("<img", html.find("<img") + 1) == std::string::npos);
  CHECK(text.find("cid:") == std::string::npos);
  CHECK(text.find("150.25") != std::string::npos);
  REQUIRE(mail["others"].size() == 1);
  CHECK(mail["others"][0]["id"] == absl::StrCat("<", content_id, ">"));
  std::string bytes;
  REQUIRE(absl::Base64Unescape(mail["others"][0]["base64"].get<std::string>(), &bytes));
  CHECK(bytes.size() <= kPictureBytesMax);
  const testing::Png picture(bytes);
  CHECK(picture.width() == 1200);
  CHECK(picture.Count(ChartColors::kLine) > 500);
  CHECK(picture.Count(ChartColors::kTrigger) > 500);
  CHECK(picture.Count(ChartColors::kRise) > 1000);
}

TEST_CASE("without prices, or when the ticker service does not answer, a mail goes as it is") {
  MailServer server;
  Fixture f(server.port());
  for (const auto& [user, answer] : {std::pair<int, testing::ScriptedBars::Answer>{1, std::vector<PriceBar>()},
                                     {2, absl::UnavailableError("gone")}}) {
    f.bars.Answers([given = answer](const auto&) { return given; });
    f.Active(UserOf(user), absl::StrCat("user", user, "@example.net"));
    const std::string id = f.Queue(UserOf(user));
    f.RunFor(absl::Seconds(1));
    CHECK(f.store.GetDelivery(UserOf(user), id)->delivery.state == DeliveryState::kSucceeded);
    REQUIRE(testing::Eventually([&] { return server.mails().size() == static_cast<size_t>(user); }));
    const nlohmann::json mail = server.mails().back();
    CHECK(mail["others"].empty());
    CHECK(mail["types"].size() == 4);
    CHECK(mail["html"]["text"].get<std::string>().find("<img") == std::string::npos);
  }
}

TEST_CASE("a slow ticker service stops neither the worker nor other mails") {
  MailServer server;
  Fixture f(server.port());
  // Whatever ends this test ends the wait, too.
  std::promise<void> may_answer;
  f.bars.Answers([&f, answer = may_answer.get_future().share()](const auto&) {
    if (f.bars.questions().size() == 1) answer.wait();
    return RisingBars(f.clock.NowUs());
  });
  f.Active(UserOf(1), "first@example.net");
  const std::string slow = f.Queue(UserOf(1));
  f.worker.RunOnce();
  REQUIRE(testing::Eventually([&] { return f.bars.questions().size() == 1; }));
  f.Active(UserOf(2), "second@example.net");
  f.Queue(UserOf(2));
  // It looks for what is new by the clock.
  f.clock.Advance(absl::Seconds(1));
  f.worker.RunOnce();
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 1; }));
  CHECK(server.mails()[0]["to"][0] == "second@example.net");
  may_answer.set_value();
  f.RunUntilQuiet();
  REQUIRE(testing::Eventually([&] { return server.mails().size() == 2; }));
  CHECK(f.store.GetDelivery(UserOf(1), slow)->delivery.state == DeliveryState::kSucceeded);
}

TEST_CASE("a mail server that is away for an hour delays mails, loses none and fails no destination") {
  auto server = std::make_unique<MailServer>();
  const int port = server->port();
  server.reset();
  Fixture f(port);
  std::map<std::string, int> wanted, got;
  std::vector<std::pair<std::string, std::string>> queued;
  for (int i = 0; i < 8; ++i) {
    const std::string address = absl::StrCat("user", i, "@example.net");
    f.Active(UserOf(i), address);
    for (int j = 0; j < 3; ++j) queued.emplace_back(UserOf(i), f.Queue(UserOf(i)));
    wanted[address] = 3;
  }
  f.RunFor(absl::Hours(1));
  for (const auto& [user, id] : queued) {
    const DeliveryWithAttempts waiting = *f.store.GetDelivery(user, id);
    REQUIRE(waiting.delivery.state == DeliveryState::kQueued);
    REQUIRE(waiting.attempts.empty());
    REQUIRE_FALSE(f.store.Get(user, waiting.delivery.destination_id)->failing_since_time_us);
  }
  server = std::make_unique<MailServer>(testing::MailServerOptions{.port = port});
  f.RunFor(absl::Minutes(5));
  REQUIRE(testing::Eventually([&] { return server->mails().size() >= queued.size(); }));
  for (const nlohmann::json& mail : server->mails()) ++got[mail["to"][0].get<std::string>()];
  CHECK(got == wanted);
  for (const auto& [user, id] : queued) CHECK(f.store.GetDelivery(user, id)->delivery.attempt_count == 1);
}

TEST_CASE("what the server refuses is the matter of that destination alone") {
  MailServer server;
  Fixture f(server.port());
  std::map<std::string, std::string> deliveries, destinations;
  int i = 0;
  for (const std::string name : {"good", "defer", "nomailbox", "spam", "drop"}) {
    destinations[name] = f.Active(UserOf(++i), name + "@example.net");
    deliveries[name] = f.Queue(UserOf(i));
  }
  f.RunUntilQuiet();
  const auto state = [&](const std::string& name, int user) {
    return f.store.GetDelivery(UserOf(user), deliveries[name])->delivery.state;
  };
  CHECK(state("good", 1) == DeliveryState::kSucceeded);
  CHECK(state("defer", 2) == DeliveryState::kQueued);
  CHECK(state("nomailbox", 3) == DeliveryState::kFailed);
  CHECK(state("spam", 4) == DeliveryState::kFailed);
  CHECK(state("drop", 5) == DeliveryState::kQueued);
  const Destination gone = *f.store.Get(UserOf(3), destinations["nomailbox"]);
  CHECK(gone.state == DestinationState::kDisabled);
  CHECK(gone.disable_reason == DisableReason::kGone);
  CHECK(f.store.Get(UserOf(4), destinations["spam"])->state == DestinationState::kActive);
  const DeliveryWithAttempts deferred = *f.store.GetDelivery(UserOf(2), deliveries["defer"]);
  REQUIRE(deferred.attempts.size() == 1);
  CHECK(deferred.attempts[0].error == "the mail server answered 450: 4.2.1 try later");
}

}  // namespace
}  // namespace stockalert::notifier
