#include "services/notifier/delivery/kind_translator.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "services/common/base/ids.h"
#include "services/common/webhook/webhook_signature.h"

namespace stockalert::notifier {
namespace {

constexpr int64_t kNow = 1'767'366'000'000'000;

struct World {
  World() {
    base::SystemIdSource ids;
    keys = webhook::NewKeys(ids);
    destination.id = "33333333-3333-4333-8333-333333333333";
    destination.user_id = "11111111-1111-4111-8111-111111111111";
    destination.sealed_settings = box.Seal(R"({"url":"https://a.example/x"})", destination.id);
    destination.sealed_secrets = box.Seal(webhook::SerializeKeys(keys), destination.id);
    due.delivery.id = "44444444-4444-4444-8444-444444444444";
    due.delivery.user_id = destination.user_id;
    due.delivery.create_time_us = kNow;
  }
  SecretBox box = *SecretBox::FromText("k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  SecretBox other = *SecretBox::FromText("k2 HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  Kinds kinds{EgressGuard(), KindHosts()};
  webhook::Keys keys;
  Destination destination;
  DueDelivery due;
};

StoredNotification Trigger() {
  StoredNotification stored;
  stored.id = "55555555-5555-4555-8555-555555555555";
  stored.user_id = "11111111-1111-4111-8111-111111111111";
  stored.alert_id = "66666666-6666-4666-8666-666666666666";
  stored.trigger_number = 3;
  stored.symbol = "AAPL";
  stored.price_micros = 150'250'000;
  stored.price_before_micros = 149'000'000;
  stored.reference_micros = 150'000'000;
  stored.late = true;
  stored.routing.critical = true;
  stored.rerouted = true;
  stored.summary = "AAPL at or above 150";
  stored.note = "sell";
  stored.event_time_us = kNow - 5'000'000;
  stored.create_time_us = kNow - 1'000'000;
  return stored;
}

TEST_CASE("a request has the decrypted URL and keys, the delivery's id, and the whole notification") {
  World w;
  w.due.notification = Trigger();
  KindTranslator translator(w.kinds, w.box);
  const auto request = translator.Compose(w.destination, w.due, kNow);
  REQUIRE(request.ok());
  const OutgoingHttp& http = std::get<OutgoingHttp>(*request);
  CHECK(http.method == http::HttpMethod::kPost);
  CHECK(http.url == "https://a.example/x");
  REQUIRE(http.headers.size() == 4);
  CHECK(http.headers[0] == "Content-Type: application/json");
  CHECK(http.headers[1] == "webhook-id: msg_44444444444444448444444444444444");
  CHECK(http.headers[2] == "webhook-timestamp: " + std::to_string(kNow / 1'000'000));
  CHECK(webhook::Verify(w.keys, "msg_44444444444444448444444444444444", kNow / 1'000'000, http.body,
                        http.headers[3].substr(std::string("webhook-signature: ").size())));
  const auto body = nlohmann::json::parse(http.body);
  CHECK(body["type"] == "alert.triggered");
  const auto& data = body["data"];
  CHECK(data["symbol"] == "AAPL");
  CHECK(data["price"] == "150.25");
  CHECK(data["price_before"] == "149");
  CHECK(data["reference"] == "150");
  CHECK(data["late"] == true);
  CHECK(data["critical"] == true);
  CHECK(data["rerouted"] == true);
  CHECK(data["note"] == "sell");
  CHECK(data["summary"] == "AAPL at or above 150");
  CHECK(data["alert"] == "users/11111111-1111-4111-8111-111111111111/alerts/66666666-6666-4666-8666-666666666666");
  CHECK(data["notification"] ==
        "users/11111111-1111-4111-8111-111111111111/notifications/55555555-5555-4555-8555-555555555555");
  // The same bytes at each attempt: only the time of the signature is another.
  CHECK(std::get<OutgoingHttp>(*translator.Compose(w.destination, w.due, kNow + 9)).body == http.body);
}

TEST_CASE("each kind of delivery has its type") {
  World w;
  KindTranslator translator(w.kinds, w.box);
  const auto body = [&] {
    return nlohmann::json::parse(std::get<OutgoingHttp>(*translator.Compose(w.destination, w.due, kNow)).body);
  };
  w.due.delivery.kind = DeliveryKind::kVerification;
  w.due.delivery.challenge = "prove";
  CHECK(body()["type"] == "destination.verification");
  CHECK(body()["data"]["challenge"] == "prove");
  w.due.delivery.kind = DeliveryKind::kTest;
  CHECK(body()["type"] == "notification.test");
  w.due.delivery.kind = DeliveryKind::kNotification;
  StoredNotification fold = Trigger();
  fold.kind = Kind::kThrottled;
  fold.alert_id.clear();
  fold.folded_count = 7;
  w.due.notification = fold;
  CHECK(body()["type"] == "alerts.throttled");
  CHECK(body()["data"]["folded_count"] == 7);
  StoredNotification notice = Trigger();
  notice.kind = Kind::kDestination;
  notice.destination_id = "77777777-7777-4777-8777-777777777777";
  w.due.notification = notice;
  CHECK(body()["type"] == "destination.verified");
  w.due.notification->destination_disabled = true;
  CHECK(body()["type"] == "destination.disabled");
  CHECK(body()["data"]["destination"] ==
        "users/11111111-1111-4111-8111-111111111111/destinations/77777777-7777-4777-8777-777777777777");
  CHECK(!body()["data"].contains("alert"));
}

TEST_CASE("if no request can be made the error tells lost secrets from a lost notification") {
  World w;
  KindTranslator translator(w.kinds, w.box);
  CHECK(absl::IsFailedPrecondition(translator.Compose(w.destination, w.due, kNow).status()));
  w.due.notification = Trigger();
  KindTranslator stranger(w.kinds, w.other);
  CHECK(absl::IsNotFound(stranger.Compose(w.destination, w.due, kNow).status()));
  Destination moved = w.destination;
  moved.id = "77777777-7777-4777-8777-777777777777";
  CHECK(absl::IsDataLoss(translator.Compose(moved, w.due, kNow).status()));
  Destination broken = w.destination;
  broken.sealed_secrets = w.box.Seal("no keys", broken.id);
  CHECK(absl::IsDataLoss(translator.Compose(broken, w.due, kNow).status()));
}

bool IsSignedBy(const absl::StatusOr<OutgoingRequest>& request, const webhook::Keys& keys) {
  const OutgoingHttp& http = std::get<OutgoingHttp>(*request);
  return webhook::Verify(keys, "msg_44444444444444448444444444444444", kNow / 1'000'000, http.body,
                         http.headers[3].substr(std::string("webhook-signature: ").size()));
}

TEST_CASE("kept keys sign only for their own destination, and not once there are others") {
  World w;
  w.due.notification = Trigger();
  KindTranslator translator(w.kinds, w.box);
  REQUIRE(IsSignedBy(translator.Compose(w.destination, w.due, kNow), w.keys));
  CHECK(IsSignedBy(translator.Compose(w.destination, w.due, kNow), w.keys));
  // Another row with the same sealed text.
  Destination thief = w.destination;
  thief.id = "77777777-7777-4777-8777-777777777777";
  thief.sealed_settings = w.box.Seal(R"({"url":"https://b.example/y"})", thief.id);
  CHECK(absl::IsDataLoss(translator.Compose(thief, w.due, kNow).status()));
  // A rotation: both sign until the former keys expire.
  base::SystemIdSource ids;
  const webhook::Keys fresh = webhook::NewKeys(ids);
  Destination rotated = w.destination;
  rotated.sealed_previous_secrets = rotated.sealed_secrets;
  rotated.previous_secret_expire_time_us = kNow + 1;
  rotated.sealed_secrets = w.box.Seal(webhook::SerializeKeys(fresh), rotated.id);
  CHECK(IsSignedBy(translator.Compose(rotated, w.due, kNow), fresh));
  CHECK(IsSignedBy(translator.Compose(rotated, w.due, kNow), w.keys));
  rotated.previous_secret_expire_time_us = kNow;
  CHECK(IsSignedBy(translator.Compose(rotated, w.due, kNow), fresh));
  CHECK_FALSE(IsSignedBy(translator.Compose(rotated, w.due, kNow), w.keys));
}

TEST_CASE("of more destinations than keys are kept each is signed by its own") {
  World w;
  w.due.notification = Trigger();
  KindTranslator translator(w.kinds, w.box);
  base::SystemIdSource ids;
  std::vector<std::pair<Destination, webhook::Keys>> all;
  for (size_t i = 0; i < kSignersKeptMax + 10; ++i) {
    all.emplace_back(w.destination, i % 100 == 0 ? webhook::NewKeys(ids) : w.keys);
    all.back().first.id = ids.NewUuid();
    all.back().first.sealed_settings = w.box.Seal(R"({"url":"https://a.example/x"})", all.back().first.id);
    all.back().first.sealed_secrets = w.box.Seal(webhook::SerializeKeys(all.back().second), all.back().first.id);
    REQUIRE(translator.Compose(all.back().first, w.due, kNow).ok());
    REQUIRE(translator.signers_kept() <= kSignersKeptMax);
  }
  for (size_t i = 0; i < all.size(); i += 100)
    CHECK(IsSignedBy(translator.Compose(all[i].first, w.due, kNow), all[i].second));
}

TEST_CASE("a verification by code carries the code, for half an hour") {
  World w;
  KindTranslator translator(w.kinds, w.box);
  w.destination.kind = KindId::kSlack;
  w.destination.sealed_settings =
      w.box.Seal(R"({"webhook_url":"https://hooks.slack.com/services/T/B/s"})", w.destination.id);
  w.due.delivery.kind = DeliveryKind::kVerification;
  w.destination.sealed_code = w.box.Seal("ABCDEFGH", w.destination.id);
  const int64_t half_an_hour_us = absl::ToInt64Microseconds(absl::Minutes(30));
  const auto request = translator.Compose(w.destination, w.due, kNow + half_an_hour_us);
  REQUIRE(request.ok());
  CHECK(std::get<OutgoingHttp>(*request).body.find("ABCDEFGH") != std::string::npos);
  CHECK(absl::IsFailedPrecondition(translator.Compose(w.destination, w.due, kNow + half_an_hour_us + 1).status()));
  // It was entered meanwhile, or voided: nothing is wrong with the destination's secrets.
  w.destination.sealed_code.clear();
  CHECK(absl::IsFailedPrecondition(translator.Compose(w.destination, w.due, kNow).status()));
}

TEST_CASE("a reply that repeats the secrets of its destination loses them") {
  World w;
  KindTranslator translator(w.kinds, w.box);
  w.destination.kind = KindId::kTelegram;
  w.destination.sealed_settings =
      w.box.Seal(R"({"bot_token":"123456:secret-secret-secret","chat_id":"-1001234"})", w.destination.id);
  w.destination.shown_settings = R"({"chat_id":"-1001234"})";
  ServiceReply reply{.status = 404, .headers = {}, .body = "/bot123456:secret-secret-secret/sendMessage"};
  translator.HideSecrets(w.destination, reply);
  CHECK(reply.body == "/bot***/sendMessage");
  KindTranslator stranger(w.kinds, w.other);
  reply.body = "secret-secret-secret";
  stranger.HideSecrets(w.destination, reply);
  CHECK(reply.body.empty());
}

TEST_CASE("a kind that this version does not know is not sent to") {
  World w;
  w.due.notification = Trigger();
  KindTranslator translator(w.kinds, w.box);
  w.destination.kind = static_cast<KindId>(99);
  CHECK(absl::IsFailedPrecondition(translator.Compose(w.destination, w.due, kNow).status()));
  CHECK(translator.Judge(w.destination, w.due.delivery, {.status = 200, .headers = {}, .body = ""}, kNow).kind ==
        VerdictKind::kRefused);
}

TEST_CASE("texts are in the user's time zone and decimals, and say when they were sent") {
  World w;
  KindTranslator translator(w.kinds, w.box);
  w.destination.kind = KindId::kNtfy;
  w.destination.sealed_settings = w.box.Seal(R"({"server_url":"https://ntfy.sh/","topic":"t"})", w.destination.id);
  w.due.notification = Trigger();
  const auto message = [&] {
    const auto request = translator.Compose(w.destination, w.due, kNow);
    REQUIRE(request.ok());
    return nlohmann::json::parse(std::get<OutgoingHttp>(*request).body)["message"].get<std::string>();
  };
  // As at first.
  CHECK(message().find("\nPrice: 150.25\nPrice before: 149.00\nReference: 150.00\nTime: 2026-01-02 09:59:55 EST\n"
                       "Stored: 2026-01-02 09:59:59 EST\nSent: 2026-01-02 10:00:00 EST") != std::string::npos);
  w.destination.text_time_zone = "Europe/Berlin";
  w.destination.text_price_decimals = 1;
  CHECK(message().find("\nPrice: 150.2\nPrice before: 149.0\nReference: 150.0\nTime: 2026-01-02 15:59:55 CET\n") !=
        std::string::npos);
}

TEST_CASE("a digest is sent as one") {
  World w;
  KindTranslator translator(w.kinds, w.box);
  StoredNotification digest = Trigger();
  digest.kind = Kind::kDigest;
  digest.alert_id.clear();
  digest.folded_count = 7;
  digest.destination_id = w.destination.id;
  digest.summary = "7 notifications held in quiet hours";
  w.due.notification = digest;
  const auto body = nlohmann::json::parse(std::get<OutgoingHttp>(*translator.Compose(w.destination, w.due, kNow)).body);
  CHECK(body["type"] == "notifications.digest");
  CHECK(body["data"]["folded_count"] == 7);
  CHECK(body["data"]["summary"] == "7 notifications held in quiet hours");
  CHECK(!body["data"].contains("alert"));
}

// A chat with templates, and what it is sent.
struct TemplateWorld : World {
  TemplateWorld() {
    destination.kind = KindId::kTelegram;
    destination.sealed_settings =
        box.Seal(R"({"bot_token":"123456:secret-secret-secret","chat_id":"42"})", destination.id);
    due.notification = Trigger();
  }
  std::string Text(std::string title, std::string text) {
    destination.template_title = std::move(title);
    destination.template_text = std::move(text);
    const auto request = translator.Compose(destination, due, kNow);
    INFO(request.status());
    REQUIRE(request.ok());
    return nlohmann::json::parse(std::get<OutgoingHttp>(*request).body)["text"];
  }
  KindTranslator translator{kinds, box};
};

TEST_CASE("a destination's templates word its triggers") {
  TemplateWorld w;
  CHECK(w.Text("{{symbol}} hit\n{{price}}", "now {{price}}, before {{price_before}}: {{note}}") ==
        "<b>AAPL hit 150.25</b>\nnow 150.25, before 149: sell");
  // One of them alone leaves the other as usual; empty ones are the usual ones.
  const std::string usual = w.Text("", "");
  CHECK(w.Text("only {{symbol}}", "") == "<b>only AAPL</b>" + usual.substr(usual.find('\n')));
  CHECK(w.Text("", "only {{symbol}}") == usual.substr(0, usual.find('\n')) + "\nonly AAPL");
  CHECK(w.Text("{{folded_count}} ", " \n") == usual);
}

TEST_CASE("a note does not become markup, a mention or a template by a template") {
  TemplateWorld w;
  w.due.notification->note = "<b>x</b> @everyone {{symbol}} {{> note}}";
  for (const char* text : {"{{note}}", "{{{note}}}", "{{& note}}"}) {
    INFO(text);
    CHECK(w.Text("t", text) ==
          "<b>t</b>\n&lt;b&gt;x&lt;/b&gt; @\xe2\x81\xa0"
          "everyone {{symbol}} {{&gt; note}}");
  }
  CHECK(w.Text("t", "{{> note}}x") == "<b>t</b>\nx");
  CHECK(w.Text("<i>", "<a href=x>") == "<b>&lt;i&gt;</b>\n&lt;a href=x&gt;");
}

TEST_CASE("a message is not lost by a template that cannot be used: the usual wording goes, and says so") {
  TemplateWorld w;
  w.due.notification->note = std::string(500, 'n');
  std::string long_one;
  for (int i = 0; i < 200; ++i) long_one += "{{note}}";
  for (const std::string& text : {long_one, std::string("{{#symbol}}"), std::string("{{")}) {
    const std::string sent = w.Text("{{symbol}}!", text);
    CHECK(sent.find("<b>AAPL at 150.25</b>") == 0);
    CHECK(sent.find("AAPL at or above 150.") != std::string::npos);
    CHECK(sent.find("Price: 150.25") != std::string::npos);
    CHECK(sent.find("(The template of this destination cannot be used: ") != std::string::npos);
  }
}

TEST_CASE("a test shows the templates; what else is sent keeps its wording") {
  TemplateWorld w;
  w.due.delivery.kind = DeliveryKind::kTest;
  w.due.notification.reset();
  CHECK(w.Text("{{symbol}} {{price}}", "{{note}}") == "<b>TEST 150.25</b>\nThis is a test, not an alert.");
  w.due.delivery.kind = DeliveryKind::kNotification;
  for (const Kind kind : {Kind::kThrottled, Kind::kDestination}) {
    w.due.notification = Trigger();
    w.due.notification->kind = kind;
    CHECK(w.Text("{{symbol}}", "mine") == w.Text("", ""));
  }
  w.due.delivery.kind = DeliveryKind::kVerification;
  w.destination.sealed_code = w.box.Seal("ABCDEFGH", w.destination.id);
  CHECK(w.Text("{{symbol}}", "mine").find("ABCDEFGH") != std::string::npos);
}

TEST_CASE("a webhook has no templates") {
  World w;
  w.due.notification = Trigger();
  KindTranslator translator(w.kinds, w.box);
  const std::string usual = std::get<OutgoingHttp>(*translator.Compose(w.destination, w.due, kNow)).body;
  w.destination.template_text = "mine";
  CHECK(std::get<OutgoingHttp>(*translator.Compose(w.destination, w.due, kNow)).body == usual);
}

}  // namespace
}  // namespace stockalert::notifier
