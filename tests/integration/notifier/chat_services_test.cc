// Destinations of all kinds but webhooks and mail: made, verified by their codes and delivered to, by the real sender
// and worker over HTTP, at services that hold to their documented limits.
#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/clock.h"
#include "services/common/base/ids.h"
#include "services/notifier/delivery/delivery_loop.h"
#include "services/notifier/delivery/destination_logic.h"
#include "services/notifier/delivery/http_request_sender.h"
#include "services/notifier/delivery/kind_translator.h"
#include "tests/support/chat_services/chat_services.h"
#include "tests/support/deliveries/in_memory_deliveries.h"
#include "tests/support/eventually/eventually.h"

namespace stockalert::notifier {
namespace {

using testing::Answer;
using testing::ChatMessage;
using testing::Eventually;

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr absl::Duration kPatience = absl::Seconds(60);

DeliveryWorkerOptions WorkerOptions() {
  DeliveryWorkerOptions options;
  options.owner = "test";
  options.poll_interval = absl::Milliseconds(50);
  return options;
}

// The parts of a notifier that deliver, without intake and API.
struct World {
  World() = default;
  ~World() { loop.Stop(absl::Now() + absl::Seconds(10)); }

  static KindHosts HostsAt(const std::string& origin) {
    KindHosts hosts;
    hosts.slack = hosts.discord = hosts.teams = {origin};
    hosts.telegram = hosts.pushover = hosts.ntfy = origin;
    return hosts;
  }
  // The settings of each kind whose service is the double.
  std::string Settings(const std::string& kind) const {
    const std::string origin = services.origin();
    nlohmann::json settings;
    if (kind == "slack") settings = {{"webhook_url", origin + "/services/T/B/secret"}};
    if (kind == "discord") settings = {{"webhook_url", origin + "/api/webhooks/1/secret"}};
    if (kind == "telegram") settings = {{"bot_token", "123456:AAF-0123456789abcdef01234"}, {"chat_id", "42"}};
    if (kind == "ntfy") settings = {{"topic", "mine"}};
    if (kind == "pushover") settings = {{"app_token", std::string(30, 'a')}, {"user_key", std::string(30, 'u')}};
    if (kind == "apprise") settings = {{"urls", {"discord://123456789012345678/secret", "tgram://1:secret/42"}}};
    if (kind == "teams") settings = {{"webhook_url", origin + "/workflows/1?sig=secret"}};
    return settings.dump();
  }
  Destination Create(const std::string& kind) {
    auto made = logic.Create(kUser, {.display_name = "d", .is_default = true, .settings = {kind, Settings(kind)}}, "");
    INFO(made.status());
    REQUIRE(made.ok());
    return made->destination;
  }
  // Reads the code where its user would, and passes it on.
  Destination CreateActive(const std::string& kind) {
    const size_t before = services.MessagesOf(kind).size();
    const Destination made = Create(kind);
    REQUIRE(Eventually([&] { return services.MessagesOf(kind).size() > before; }, kPatience));
    static const std::regex code("[A-HJ-NP-Z2-9]{8}");
    std::smatch found;
    const std::string text = services.MessagesOf(kind).back().text;
    INFO(text);
    REQUIRE(std::regex_search(text, found, code));
    CHECK(store.Get(kUser, made.id)->state == DestinationState::kUnverified);
    const auto verified = logic.VerifyByCode(kUser, made.id, found.str());
    INFO(verified.status());
    REQUIRE(verified.ok());
    CHECK(verified->state == DestinationState::kActive);
    return *verified;
  }
  std::string Queue(const std::string& note, const std::string& symbol = "AAPL") {
    StoredNotification notification;
    notification.id = ids.NewUuid();
    notification.user_id = kUser;
    notification.alert_id = ids.NewUuid();
    notification.symbol = symbol;
    notification.summary = symbol + " at or above 150";
    notification.note = note;
    notification.price_micros = 150'250'000;
    notification.reference_micros = 150'000'000;
    notification.event_time_us = clock.NowUs();
    const std::vector<std::string> queued = store.Queue(notification, clock.NowUs());
    REQUIRE(queued.size() == 1);
    loop.Wake({kUser});
    return queued.front();
  }
  bool Ends(const std::string& delivery, DeliveryState state) {
    return Eventually([&] { return store.Find(delivery).state == state; }, kPatience);
  }

  testing::ChatServices services;
  EgressGuard guard = EgressGuard::Create("127.0.0.0/8", true).value();
  Kinds kinds{guard, HostsAt(services.origin()), std::nullopt,
              AppriseServer::Parse(services.origin(), kDefaultAppriseSchemes).value()};
  SecretBox secrets = *SecretBox::FromText("k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  base::SystemClock clock;
  base::SystemIdSource ids;
  testing::InMemoryDeliveries store;
  KindTranslator translator{kinds, secrets};
  HttpRequestSender sender{{.timeout = absl::Seconds(10), .has_operator_server = true}, guard};
  DeliveryLoop loop{WorkerOptions(), store, sender, translator, clock};
  DestinationLogic logic{store, kinds, secrets, clock, ids, [this](const std::string& user) { loop.Wake({user}); }};
};

constexpr const char* kChats[] = {"slack", "discord", "telegram", "ntfy", "pushover", "teams", "apprise"};

TEST_CASE("each service takes its code and any notification, within its limits and without a mention") {
  for (const char* kind : kChats) {
    INFO(kind);
    World world;
    world.CreateActive(kind);
    std::string euros;
    for (int i = 0; i < 6000; ++i) euros += "€";
    const std::string notes[] = {
        "<!channel> <@U1> @everyone @channel_name **b** <b>x</b> & \"q\" \\ [l](https://e.example)",
        std::string(9000, '&'), std::string(9000, '\\'), euros, std::string(9000, '\n')};
    std::vector<std::string> queued;
    for (const std::string& note : notes) queued.push_back(world.Queue(note, "<SYM&@here_>"));
    for (const std::string& delivery : queued) {
      CHECK(world.Ends(delivery, DeliveryState::kSucceeded));
      INFO(world.store.Find(delivery).last_error);
      CHECK(world.store.Find(delivery).attempt_count == 1);
    }
    CHECK(world.services.violations().empty());
    for (const std::string& violation : world.services.violations()) UNSCOPED_INFO(violation);
    const std::vector<ChatMessage> messages = world.services.MessagesOf(kind);
    REQUIRE(messages.size() == 1 + queued.size());
    CHECK(absl::StrContains(messages[1].text, "150.25"));
  }
}

TEST_CASE("a burst keeps each service's rate") {
  for (const char* kind : {"slack", "discord", "telegram"}) {
    INFO(kind);
    World world;
    world.CreateActive(kind);
    std::vector<std::string> queued;
    for (int i = 0; i < 6; ++i) queued.push_back(world.Queue(absl::StrCat("number ", i)));
    for (const std::string& delivery : queued) CHECK(world.Ends(delivery, DeliveryState::kSucceeded));
    CHECK(world.services.violations().empty());
    CHECK(world.services.MessagesOf(kind).size() == 7);
  }
}

struct BusyCase {
  const char* kind;
  std::string answer;
};

TEST_CASE("each service's way to ask for quiet is understood, and the message comes afterwards") {
  const BusyCase cases[] = {
      {"slack", Answer(429, "Retry-After: 6\r\n", "rate_limited")},
      {"discord", Answer(429, "", R"({"message":"You are being rate limited.","retry_after":6.0,"global":false})")},
      {"telegram", Answer(429, "", R"({"ok":false,"error_code":429,"parameters":{"retry_after":6}})")},
      {"ntfy", Answer(429, "Retry-After: 6\r\n", R"({"code":42901,"http":429,"error":"limit reached"})")},
      {"pushover", Answer(500, "", "")},
      {"teams", Answer(200, "", "Webhook message delivery failed with error: HTTP error 429")},
      {"apprise", Answer(424, "", R"({"error":"One or more notification could not be sent."})")},
  };
  for (const BusyCase& busy : cases) {
    INFO(busy.kind);
    World world;
    world.CreateActive(busy.kind);
    const size_t before = world.services.MessagesOf(busy.kind).size();
    const int64_t begin_us = world.clock.NowUs();
    world.services.AnswerNext(busy.kind, busy.answer);
    const std::string delivery = world.Queue("later");
    REQUIRE(world.Ends(delivery, DeliveryState::kSucceeded));
    CHECK(world.store.Find(delivery).attempt_count == 2);
    // The schedule alone would try again after five seconds, ten percent earlier at most.
    CHECK(world.clock.NowUs() - begin_us >= 4'500'000);
    CHECK(world.services.MessagesOf(busy.kind).size() == before + 1);
  }
}

TEST_CASE("a destination that a service knows no more is disabled at once; what can never pass fails at once") {
  const BusyCase gone[] = {
      {"slack", Answer(404, "", "channel_not_found")},
      {"discord", Answer(404, "", R"({"message":"Unknown Webhook","code":10015})")},
      {"telegram", Answer(403, "", R"({"ok":false,"description":"Forbidden: bot was blocked by the user"})")},
      {"pushover", Answer(400, "", R"({"user":"invalid","errors":["user identifier is invalid"],"status":0})")},
      {"teams", Answer(404, "", R"({"error":{"code":"WorkflowNotFound"}})")},
  };
  for (const BusyCase& one : gone) {
    INFO(one.kind);
    World world;
    const Destination destination = world.CreateActive(one.kind);
    world.services.AnswerNext(one.kind, one.answer);
    const std::string delivery = world.Queue("nobody there");
    REQUIRE(world.Ends(delivery, DeliveryState::kFailed));
    CHECK(world.store.Get(kUser, destination.id)->state == DestinationState::kDisabled);
    CHECK(world.store.Get(kUser, destination.id)->disable_reason == DisableReason::kGone);
  }
  World world;
  const Destination destination = world.CreateActive("pushover");
  world.services.AnswerNext("pushover", Answer(400, "", R"({"errors":["message cannot be blank"],"status":0})"));
  const std::string delivery = world.Queue("refused");
  REQUIRE(world.Ends(delivery, DeliveryState::kFailed));
  CHECK(world.store.Find(delivery).attempt_count == 1);
  CHECK(world.store.Get(kUser, destination.id)->state == DestinationState::kActive);
  CHECK(world.Ends(world.Queue("the next"), DeliveryState::kSucceeded));
}

}  // namespace
}  // namespace stockalert::notifier
