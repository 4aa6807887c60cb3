// The whole notifier over real Postgres and Kafka; the user service is a fake on a real port.
#include <grpcpp/grpcpp.h>
#include <httplib.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/kafka/partitioner.h"
#include "services/common/kafka/producer.h"
#include "services/common/metrics/metrics.h"
#include "services/notifier/app.h"
#include "stockalert/internal/v1/events.pb.h"
#include "stockalert/internal/v1/notifier_internal.grpc.pb.h"
#include "stockalert/notification/v1/destination.grpc.pb.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "tests/support/fake_mesh/fake_mesh.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
#include "tests/support/hostile_receiver/hostile_receiver.h"
#include "tests/support/mail_server/mail_server.h"
#include "tests/support/test_environment/test_environment.h"

namespace stockalert::notifier {
namespace {

namespace ipb = ::stockalert::internal::v1;
namespace npb = ::stockalert::notification::v1;

constexpr char kKey[] = "sak_of_the_user_0123";
constexpr char kOtherKey[] = "sak_of_another_0123";
constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kOther[] = "22222222-2222-4222-8222-222222222222";
constexpr char kTraceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr absl::Duration kPatience = absl::Seconds(30);

template <typename Ask>
bool Eventually(Ask ask) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!ask()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
  return true;
}

// A running notifier with a stub.
struct Instance {
  explicit Instance(const Config& config) : app(*NotifierApp::Create(config)) {
    const absl::Status started = app->Start();
    INFO(started);
    REQUIRE(started.ok());
    stub = npb::NotificationService::NewStub(
        ::grpc::CreateChannel("127.0.0.1:" + std::to_string(app->public_port()), ::grpc::InsecureChannelCredentials()));
  }
  ~Instance() { app->Stop(absl::Now() + absl::Seconds(10)); }

  std::unique_ptr<NotifierApp> app;
  std::unique_ptr<npb::NotificationService::Stub> stub;
};

struct Mesh {
  Mesh() {
    database.Migrate("notifier");
    fakes.SetCaller(kKey, {.user_id = kUser, .key_id = "k"});
    fakes.SetCaller(kOtherKey, {.user_id = kOther, .key_id = "o"});
    config.public_address = "127.0.0.1:0";
    config.http_address = "127.0.0.1:0";
    config.internal_address = "127.0.0.1:0";
    config.user_address = fakes.address();
    config.mesh_token = testing::kFakeMeshToken;
    config.tls.plaintext = true;
    config.postgres_url = database.url();
    config.kafka_bootstrap = testing::KafkaBootstrapOrSkip();
    config.group_id = testing::UniqueName("notifier");
    config.instance_id = "none";
    config.triggers_topic = testing::UniqueName("triggers");
    config.user_events_topic = testing::UniqueName("user_events");
    testing::CreateTopicOrThrow(config.kafka_bootstrap, config.triggers_topic, 3);
    testing::CreateTopicOrThrow(config.kafka_bootstrap, config.user_events_topic, 2);
    kafka::ProducerOptions options;
    options.bootstrap = config.kafka_bootstrap;
    options.client_id = "test";
    producer = *kafka::CreateProducer(options);
  }

  void Produce(const std::string& topic, const std::string& key, const std::string& value,
               const kafka::Headers& headers = kafka::TraceHeaders(kTraceparent)) {
    const auto delivered = producer->ProduceAndWait(topic, key, value, headers, absl::Now() + kPatience);
    INFO(delivered.status());
    REQUIRE(delivered.ok());
  }
  void Trigger(const std::string& user, const std::string& alert, int64_t number,
               const kafka::Headers& headers = kafka::TraceHeaders(kTraceparent),
               ipb::TriggerMessage message = ipb::TriggerMessage()) {
    message.set_user_id(user);
    message.set_note("look at it");
    message.set_summary("AAPL at or above 150");
    ipb::AlertTriggered& trigger = *message.mutable_trigger();
    trigger.set_alert_id(alert);
    trigger.set_symbol("AAPL");
    trigger.set_revision(1);
    trigger.set_trigger_number(number);
    trigger.set_price_micros(150'000'000 + number);
    trigger.set_event_time_us(1'767'366'000'000'000);
    trigger.set_reference_micros(150'000'000);
    Produce(config.triggers_topic, user, message.SerializeAsString(), headers);
  }

  testing::TestDatabase database;
  testing::FakeMesh fakes;
  Config config;
  std::unique_ptr<kafka::Producer> producer;
};

struct WatchCall {
  WatchCall(Instance& instance, const std::string& from, bool from_start = false) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    context.AddMetadata("authorization", std::string("Bearer ") + kKey);
    npb::WatchNotificationsRequest request;
    request.set_parent("users/me");
    request.set_cursor(from);
    request.set_from_start(from_start);
    stream = instance.stub->WatchNotifications(&context, request);
  }
  ~WatchCall() { context.TryCancel(); }
  bool Read() {
    npb::WatchNotificationsResponse response;
    if (!stream->Read(&response)) return false;
    cursor = response.cursor();
    for (const npb::Notification& notification : response.notifications()) seen.push_back(notification);
    return true;
  }
  bool ReadUntil(size_t count) {
    while (seen.size() < count) {
      if (!Read()) return false;
    }
    return true;
  }

  ::grpc::ClientContext context;
  std::unique_ptr<::grpc::ClientReader<npb::WatchNotificationsResponse>> stream;
  std::string cursor;
  std::vector<npb::Notification> seen;
};

std::string NewId() { return base::SystemIdSource().NewUuid(); }

// As a receiver computes it, by OpenSSL alone: base64 of HMAC-SHA256 under what stands behind "whsec_" in base64.
std::string SignedBy(const std::string& secret, const std::string& text) {
  const std::string key_text = secret.substr(std::string("whsec_").size());
  std::string key(key_text.size(), '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(key.data()),
                      reinterpret_cast<const unsigned char*>(key_text.data()), static_cast<int>(key_text.size()));
  REQUIRE(size > 0);
  const auto padding = static_cast<size_t>(std::count(key_text.begin(), key_text.end(), '='));
  key.resize(static_cast<size_t>(size) - padding);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int mac_size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), mac, &mac_size);
  std::string encoded(4 * ((mac_size + 2) / 3) + 1, '\0');
  encoded.resize(static_cast<size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()), mac, static_cast<int>(mac_size))));
  return encoded;
}

TEST_CASE("triggers become notifications once, are streamed, resumed, listed and acknowledged") {
  Mesh mesh;
  const std::string alert = NewId();
  std::string cursor;
  {
    Instance instance(mesh.config);
    WatchCall watch(instance, "");
    REQUIRE(watch.Read());
    CHECK(watch.seen.empty());
    CHECK(!watch.cursor.empty());
    for (int64_t number = 1; number <= 3; ++number) mesh.Trigger(kUser, alert, number);
    mesh.Trigger(kUser, alert, 2);
    mesh.Trigger(kOther, NewId(), 1);
    REQUIRE(watch.ReadUntil(3));
    for (size_t i = 0; i < 3; ++i) {
      CHECK(watch.seen[i].trigger() ==
            "users/" + std::string(kUser) + "/alerts/" + alert + "/triggers/" + std::to_string(i + 1));
    }
    CHECK(watch.seen[0].price() == "150.000001");
    CHECK(watch.seen[0].note() == "look at it");
    CHECK(watch.seen[2].cursor() == watch.cursor);
    cursor = watch.seen[1].cursor();
    // The other user's has a partition of its own: it may come later.
    REQUIRE(
        Eventually([&] { return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications") == 4; }));
  }
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications WHERE traceparent = '" +
                            std::string(kTraceparent) + "'") == 4);
  // Stored while nobody was there to see: in the log.
  mesh.Trigger(kUser, alert, 4);
  Instance instance(mesh.config);
  WatchCall resumed(instance, cursor);
  REQUIRE(resumed.ReadUntil(2));
  CHECK(resumed.seen[0].trigger().ends_with("/triggers/3"));
  CHECK(resumed.seen[1].trigger().ends_with("/triggers/4"));

  WatchCall all(instance, "", true);
  REQUIRE(all.ReadUntil(4));

  npb::AcknowledgeNotificationRequest acknowledge;
  acknowledge.set_name(resumed.seen[0].name());
  npb::Notification acknowledged;
  ::grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  REQUIRE(instance.stub->AcknowledgeNotification(&context, acknowledge, &acknowledged).ok());
  CHECK(acknowledged.has_acknowledge_time());

  npb::ListNotificationsRequest list;
  list.set_parent("users/me");
  list.set_unacknowledged_only(true);
  npb::ListNotificationsResponse listed;
  ::grpc::ClientContext list_context;
  list_context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  REQUIRE(instance.stub->ListNotifications(&list_context, list, &listed).ok());
  CHECK(listed.notifications_size() == 3);
  CHECK(listed.notifications(0).trigger().ends_with("/triggers/4"));
}

TEST_CASE("a deleted user's notifications stay deleted, and undecodable records are skipped") {
  Mesh mesh;
  Instance instance(mesh.config);
  const std::string alert = NewId();
  mesh.Produce(mesh.config.triggers_topic, kUser, "no message \xff");
  mesh.Trigger(kUser, alert, 1);
  mesh.Trigger(kOther, NewId(), 1);
  REQUIRE(
      Eventually([&] { return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications") == 2; }));
  ipb::UserEvent event;
  event.mutable_user_deleted()->set_user_id(kUser);
  event.mutable_user_deleted()->set_delete_time_us(5);
  mesh.Produce(mesh.config.user_events_topic, kUser, event.SerializeAsString());
  REQUIRE(
      Eventually([&] { return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications") == 1; }));
  mesh.Trigger(kUser, alert, 2);
  mesh.Trigger(kOther, NewId(), 1);
  REQUIRE(
      Eventually([&] { return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications") == 2; }));
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications WHERE user_id = '" +
                            std::string(kUser) + "'") == 0);
}

constexpr char kCount[] = "SELECT count(*) FROM stockalert_notifier.notifications";
constexpr char kLetters[] = "SELECT count(*) FROM stockalert_notifier.dead_letters";

TEST_CASE("an invalid trace is dropped, and the record is processed") {
  Mesh mesh;
  Instance instance(mesh.config);
  const std::string alert = NewId();
  mesh.Trigger(kUser, alert, 1, {{"traceparent", "\xff\xfe"}});
  mesh.Trigger(kUser, alert, 2, {{"traceparent", std::string("00-\0", 4)}});
  mesh.Trigger(kUser, alert, 3, {{"traceparent", "01" + std::string(kTraceparent).substr(2) + "-\xff"}});
  mesh.Trigger(kUser, alert, 4);
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 4; }));
  CHECK(mesh.database.Count(std::string(kCount) + " WHERE traceparent = ''") == 2);
  CHECK(mesh.database.Count(kLetters) == 0);
}

TEST_CASE(
    "a record that is undecodable, or that the database refuses, becomes a dead letter, and the others are stored") {
  Mesh mesh;
  mesh.database.Execute(
      "ALTER TABLE stockalert_notifier.notifications ADD CHECK (price_micros NOT IN (150000003, 150000017))");
  const std::string alert = NewId();
  mesh.Produce(mesh.config.triggers_topic, kUser, "no message \xff");
  mesh.Produce(mesh.config.triggers_topic, kUser, "");
  for (int64_t number = 1; number <= 20; ++number) mesh.Trigger(kUser, alert, number);
  mesh.Trigger(kOther, NewId(), 1);
  {
    Instance instance(mesh.config);
    REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 19 && mesh.database.Count(kLetters) == 4; }));
    CHECK(mesh.database.Count(std::string(kLetters) + " WHERE cause LIKE '%23514%'") == 2);
    CHECK(mesh.database.Count(std::string(kLetters) + " WHERE convert_from(key, 'UTF8') = '" + kUser +
                              "' AND header_names[1] = 'traceparent'") == 4);
  }
  // The offsets went past them: nothing comes twice.
  Instance again(mesh.config);
  mesh.Trigger(kUser, alert, 21);
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 20; }));
  CHECK(mesh.database.Count(kLetters) == 4);
}

TEST_CASE("an unclear failure holds only its partition, which continues by itself") {
  Mesh mesh;
  mesh.database.Execute(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN IF NEW.trigger_number = 2 THEN RAISE EXCEPTION 'somebody''s own'; END IF; RETURN NEW; END $$");
  mesh.database.Execute(
      "CREATE TRIGGER own BEFORE INSERT ON stockalert_notifier.notifications FOR EACH ROW EXECUTE FUNCTION refuse()");
  // Another user in another partition.
  std::string elsewhere = NewId();
  while (kafka::PartitionOf(elsewhere, 3) == kafka::PartitionOf(kUser, 3)) elsewhere = NewId();
  const std::string alert = NewId();
  for (int64_t number = 1; number <= 3; ++number) mesh.Trigger(kUser, alert, number);
  mesh.Trigger(elsewhere, NewId(), 1);
  Instance instance(mesh.config);
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 2; }));
  mesh.Trigger(elsewhere, NewId(), 1);
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 3; }));
  CHECK(mesh.database.Count(std::string(kCount) + " WHERE user_id = '" + kUser + "'") == 1);
  CHECK(mesh.database.Count(kLetters) == 0);
  const auto& held =
      metrics::GetGauge("stockalert_consumer_partitions_held", "", {{"topic", mesh.config.triggers_topic}});
  REQUIRE(Eventually([&] { return held.Value() == 1; }));
  mesh.database.Execute("DROP TRIGGER own ON stockalert_notifier.notifications");
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 5; }));
  REQUIRE(Eventually([&] { return held.Value() == 0; }));
  // In their order, none lost and none twice.
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications WHERE user_id = '" +
                            std::string(kUser) + "' AND sequence = trigger_number") == 3);
}

TEST_CASE("an event of an unknown kind holds its partition, while a user is deleted in another") {
  Mesh mesh;
  std::string elsewhere = NewId();
  while (kafka::PartitionOf(elsewhere, 2) == kafka::PartitionOf(kUser, 2)) elsewhere = NewId();
  mesh.Produce(mesh.config.user_events_topic, kUser, "\x9a\x06\x04news");
  mesh.Trigger(elsewhere, NewId(), 1);
  mesh.Trigger(kUser, NewId(), 1);
  Instance instance(mesh.config);
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 2; }));
  for (const std::string& user : {std::string(kUser), elsewhere}) {
    ipb::UserEvent event;
    event.mutable_user_deleted()->set_user_id(user);
    mesh.Produce(mesh.config.user_events_topic, user, event.SerializeAsString());
  }
  REQUIRE(Eventually(
      [&] { return mesh.database.Count(std::string(kCount) + " WHERE user_id = '" + elsewhere + "'") == 0; }));
  CHECK(mesh.database.Count(kCount) == 1);  // Behind the unknown one, where its reader waits.
  CHECK(mesh.database.Count(kLetters) == 0);
}

// A receiver of webhooks that proves itself, keeps what it takes, and answers what the test says.
struct Webhooks {
  Webhooks() { std::ofstream(keys_file) << "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"; }
  ~Webhooks() { std::remove(keys_file.c_str()); }
  void Serve(testing::ReceiverConnection& connection) {
    while (const auto request = connection.Read()) {
      const nlohmann::json body = nlohmann::json::parse(request->body);
      std::string answer = "taken";
      if (body["type"] == "destination.verification")
        answer = nlohmann::json{{"challenge", body["data"]["challenge"]}}.dump();
      const int code = body["type"] == "destination.verification" ? 200 : status.load();
      if (!connection.Write("HTTP/1.1 " + std::to_string(code) +
                            " said\r\nContent-Length: " + std::to_string(answer.size()) + "\r\n\r\n" + answer))
        return;
    }
  }
  // Those of a type, in their order.
  std::vector<testing::ReceivedRequest> Taken(const std::string& type) const {
    std::vector<testing::ReceivedRequest> taken;
    for (const auto& request : receiver.requests()) {
      if (nlohmann::json::parse(request.body)["type"] == type) taken.push_back(request);
    }
    return taken;
  }

  const std::string keys_file = std::filesystem::temp_directory_path() / testing::UniqueName("delivery_keys");
  std::atomic<int> status{200};
  testing::HostileReceiver receiver{[this](testing::ReceiverConnection& connection) { Serve(connection); }};
};

// The code in the mail to this address; empty: there is none yet.
std::string CodeMailedTo(const testing::MailServer& server, const std::string& address) {
  for (const nlohmann::json& mail : server.mails()) {
    if (mail["to"][0] != address) continue;
    const std::string text = mail["plain"]["text"];
    const std::string before = text.find("30 minutes: ") != std::string::npos ? "30 minutes: " : "verifies it: ";
    const size_t at = text.find(before) + before.size();
    return text.substr(at, text.find_first_of("\r\n", at) - at);
  }
  return "";
}

TEST_CASE("codes of users and of mailboxes are mailed, each once, and what triggers after the proof") {
  Webhooks keys;
  testing::MailServer server;
  Mesh mesh;
  mesh.config.delivery_keys_file = keys.keys_file;
  mesh.config.smtp_address = "127.0.0.1:" + std::to_string(server.port());
  mesh.config.smtp_tls = "none";
  mesh.config.mail_from = "alerts@example.org";
  ipb::UserEvent event;
  ipb::EmailVerificationRequested& asked = *event.mutable_email_verification_requested();
  asked.set_user_id(kUser);
  asked.set_email("ann@example.org");
  asked.set_code("USERS-CODE");
  asked.set_expire_time_us(absl::ToUnixMicros(absl::Now() + absl::Hours(1)));
  mesh.Produce(mesh.config.user_events_topic, kUser, event.SerializeAsString());
  mesh.Produce(mesh.config.user_events_topic, kUser, event.SerializeAsString());
  Instance instance(mesh.config);
  auto stub = npb::DestinationService::NewStub(::grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(instance.app->public_port()), ::grpc::InsecureChannelCredentials()));
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.mutable_destination()->mutable_email()->set_address("box@example.org");
  npb::CreateDestinationResponse created;
  ::grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  REQUIRE(stub->CreateDestination(&context, request, &created).ok());
  REQUIRE(Eventually([&] { return !CodeMailedTo(server, "box@example.org").empty(); }));
  npb::VerifyDestinationRequest verify;
  verify.set_name(created.destination().name());
  verify.set_code(CodeMailedTo(server, "box@example.org"));
  npb::Destination verified;
  ::grpc::ClientContext verify_context;
  verify_context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  const ::grpc::Status proven = stub->VerifyDestination(&verify_context, verify, &verified);
  INFO(proven.error_message());
  REQUIRE(proven.ok());
  CHECK(verified.state() == npb::Destination::STATE_ACTIVE);
  CHECK(verified.email().address() == "box@example.org");
  mesh.Trigger(kUser, NewId(), 1);
  REQUIRE(Eventually([&] { return server.mails().size() == 3; }));
  CHECK(CodeMailedTo(server, "ann@example.org") == "USERS-CODE");
  CHECK(server.mails().back()["to"][0] == "box@example.org");
  REQUIRE(Eventually([&] {
    return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.code_mails WHERE sealed_content = ''") == 1;
  }));
  CHECK(server.mails().size() == 3);
}

TEST_CASE("a user's own verified address needs no code, and the reader of its mails unsubscribes with one click") {
  Webhooks keys;
  testing::MailServer server;
  Mesh mesh;
  mesh.config.delivery_keys_file = keys.keys_file;
  mesh.config.smtp_address = "127.0.0.1:" + std::to_string(server.port());
  mesh.config.smtp_tls = "none";
  mesh.config.mail_from = "alerts@example.org";
  mesh.config.public_url = "https://alerts.example.org/stocks/";
  mesh.config.unsubscribe_address = "127.0.0.1:0";
  mesh.fakes.SetAddress(kUser, "ann@example.org", /*verified=*/true);
  Instance instance(mesh.config);
  auto stub = npb::DestinationService::NewStub(::grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(instance.app->public_port()), ::grpc::InsecureChannelCredentials()));
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.mutable_destination()->mutable_email()->set_address("Ann@example.org");
  npb::CreateDestinationResponse created;
  ::grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  REQUIRE(stub->CreateDestination(&context, request, &created).ok());
  CHECK(created.destination().state() == npb::Destination::STATE_ACTIVE);
  mesh.Trigger(kUser, NewId(), 1);
  REQUIRE(Eventually([&] { return server.mails().size() == 1; }));
  const nlohmann::json mail = server.mails().front();
  CHECK(testing::HeaderOf(mail, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click");
  const std::string ways = testing::HeaderOf(mail, "List-Unsubscribe");
  INFO(ways);
  const std::string prefix = "<https://alerts.example.org/stocks";
  const size_t begin = ways.find(prefix + "/unsubscribe/");
  REQUIRE(begin != std::string::npos);
  const size_t path_begin = begin + prefix.size();
  const std::string path = ways.substr(path_begin, ways.find('>', path_begin) - path_begin);
  httplib::Client reader("127.0.0.1", instance.app->unsubscribe_port());
  const auto disabled = [&] {
    return mesh.database.Count(
        "SELECT count(*) FROM stockalert_notifier.destinations WHERE state = 3 AND disable_reason = 4");
  };
  const auto page = reader.Get(path);
  REQUIRE(page);
  CHECK(page->status == 200);
  CHECK(disabled() == 0);
  const auto unknown = reader.Post(path + "A", "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded");
  REQUIRE(unknown);
  CHECK(unknown->status == 404);
  for (int i = 0; i < 2; ++i) {
    const auto done = reader.Post(path, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded");
    REQUIRE(done);
    CHECK(done->status == 200);
    CHECK(disabled() == 1);
  }
  CHECK(mesh.database.Count(
            "SELECT count(*) FROM stockalert_notifier.notifications WHERE summary LIKE '%unsubscribed%'") == 1);
}

TEST_CASE("without a public URL no port for readers of mails is open; an unverified address needs a code") {
  Webhooks keys;
  testing::MailServer server;
  Mesh mesh;
  mesh.config.delivery_keys_file = keys.keys_file;
  mesh.config.smtp_address = "127.0.0.1:" + std::to_string(server.port());
  mesh.config.smtp_tls = "none";
  mesh.config.mail_from = "alerts@example.org";
  mesh.fakes.SetAddress(kUser, "ann@example.org", /*verified=*/false);
  Instance instance(mesh.config);
  CHECK(instance.app->unsubscribe_port() == 0);
  auto stub = npb::DestinationService::NewStub(::grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(instance.app->public_port()), ::grpc::InsecureChannelCredentials()));
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.mutable_destination()->mutable_email()->set_address("ann@example.org");
  npb::CreateDestinationResponse created;
  ::grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  REQUIRE(stub->CreateDestination(&context, request, &created).ok());
  CHECK(created.destination().state() == npb::Destination::STATE_UNVERIFIED);
  REQUIRE(Eventually([&] { return server.mails().size() == 1; }));
  CHECK(testing::HeaderOf(server.mails().front(), "List-Unsubscribe-Post").empty());
}

// An ACTIVE destination of kUser at this receiver.
npb::CreateDestinationResponse CreateDestination(Mesh& mesh, Instance& instance, Webhooks& webhooks) {
  const int64_t before = mesh.database.Count("SELECT count(*) FROM stockalert_notifier.destinations WHERE state = 2");
  auto stub = npb::DestinationService::NewStub(::grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(instance.app->public_port()), ::grpc::InsecureChannelCredentials()));
  ::grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.mutable_destination()->mutable_webhook()->set_url(webhooks.receiver.Url("http", "127.0.0.1"));
  npb::CreateDestinationResponse created;
  const absl::Status status = rpc::FromGrpc(stub->CreateDestination(&context, request, &created));
  INFO(status);
  REQUIRE(status.ok());
  REQUIRE(Eventually([&] {
    return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.destinations WHERE state = 2") == before + 1;
  }));
  return created;
}

std::string IdOf(const npb::CreateDestinationResponse& created) {
  const std::string& name = created.destination().name();
  return name.substr(name.rfind('/') + 1);
}

TEST_CASE("a trigger reaches a verified webhook, signed, after a failure and a restart") {
  Webhooks webhooks;
  Mesh mesh;
  mesh.config.delivery_keys_file = webhooks.keys_file;
  mesh.config.egress_allow = "127.0.0.0/8";
  mesh.config.egress_allow_http = true;
  std::string secret;
  const std::string alert = NewId();
  {
    Instance instance(mesh.config);
    secret = CreateDestination(mesh, instance, webhooks).secret();
    mesh.Trigger(kUser, alert, 1);
    mesh.Trigger(kUser, alert, 1);
    mesh.Trigger(kOther, NewId(), 1);
    REQUIRE(Eventually([&] {
      return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.deliveries WHERE kind = 1 AND state = 2") ==
             1;
    }));
    // The next one fails, and the notifier ends before it is due again.
    webhooks.status = 503;
    mesh.Trigger(kUser, alert, 2);
    REQUIRE(Eventually([&] {
      return mesh.database.Count(
                 "SELECT count(*) FROM stockalert_notifier.delivery_attempts WHERE http_status = 503") == 1;
    }));
    webhooks.status = 200;
  }
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_notifier.delivery_lanes WHERE lease_until_us > 0") == 0);
  Instance again(mesh.config);
  REQUIRE(Eventually([&] {
    return mesh.database.Count("SELECT count(*) FROM stockalert_notifier.deliveries WHERE kind = 1 AND state = 2") == 2;
  }));
  const auto taken = webhooks.Taken("alert.triggered");
  REQUIRE(taken.size() == 3);
  CHECK(taken[0].Header("webhook-id") != taken[1].Header("webhook-id"));
  CHECK(taken[1].Header("webhook-id") == taken[2].Header("webhook-id"));
  CHECK(taken[1].body == taken[2].body);
  const nlohmann::json data = nlohmann::json::parse(taken[0].body)["data"];
  CHECK(data["price"] == "150.000001");
  CHECK(data["note"] == "look at it");
  CHECK(data["alert"] == "users/" + std::string(kUser) + "/alerts/" + alert);
  // By the secret that the user was shown, and by that alone.
  for (const auto& request : taken) {
    const std::string signed_text =
        request.Header("webhook-id") + "." + request.Header("webhook-timestamp") + "." + request.body;
    CHECK(request.Header("webhook-signature").find("v1," + SignedBy(secret, signed_text)) != std::string::npos);
    CHECK(request.Header("webhook-signature").find("v1," + SignedBy("whsec_AAAA", signed_text)) == std::string::npos);
  }
}

TEST_CASE(
    "a trigger reaches the destinations that its alert names, and no other; a 410 is told to those that are left") {
  Webhooks usual, named;
  Mesh mesh;
  mesh.config.delivery_keys_file = usual.keys_file;
  mesh.config.egress_allow = "127.0.0.0/8";
  mesh.config.egress_allow_http = true;
  Instance instance(mesh.config);
  const std::string usual_id = IdOf(CreateDestination(mesh, instance, usual));
  const std::string named_id = IdOf(CreateDestination(mesh, instance, named));
  REQUIRE(Eventually([&] { return usual.Taken("destination.verified").size() == 1; }));
  ipb::TriggerMessage message;
  message.set_delivery(ipb::TriggerMessage::DELIVERY_NAMED);
  message.add_destination_ids(named_id);
  message.set_critical(true);
  const std::string alert = NewId();
  mesh.Trigger(kUser, alert, 1, kafka::TraceHeaders(kTraceparent), message);
  REQUIRE(Eventually([&] { return named.Taken("alert.triggered").size() == 1; }));
  CHECK(nlohmann::json::parse(named.Taken("alert.triggered")[0].body)["data"]["critical"] == true);
  message.set_delivery(ipb::TriggerMessage::DELIVERY_NONE);
  mesh.Trigger(kUser, alert, 2, kafka::TraceHeaders(kTraceparent), message);
  // As the version before tells it: to the defaults, which both are.
  mesh.Trigger(kUser, alert, 3);
  REQUIRE(Eventually(
      [&] { return usual.Taken("alert.triggered").size() == 1 && named.Taken("alert.triggered").size() == 2; }));
  CHECK(nlohmann::json::parse(usual.Taken("alert.triggered")[0].body)["data"]["price"] == "150.000003");

  usual.status = 410;
  mesh.Trigger(kUser, alert, 4);
  REQUIRE(Eventually([&] { return named.Taken("destination.disabled").size() == 1; }));
  const auto told = nlohmann::json::parse(named.Taken("destination.disabled")[0].body)["data"];
  CHECK(told["destination"] == "users/" + std::string(kUser) + "/destinations/" + usual_id);
  CHECK(usual.Taken("destination.disabled").empty());
  WatchCall watch(instance, "", true);
  REQUIRE(watch.ReadUntil(7));
  const auto notices = std::count_if(watch.seen.begin(), watch.seen.end(), [](const npb::Notification& notification) {
    return notification.kind() == npb::Notification::KIND_DESTINATION;
  });
  CHECK(notices == 3);  // Both verified, one disabled.
}

TEST_CASE("the internal port tells the alert service which destinations a user has") {
  Webhooks webhooks;
  Mesh mesh;
  mesh.config.delivery_keys_file = webhooks.keys_file;
  mesh.config.egress_allow = "127.0.0.0/8";
  mesh.config.egress_allow_http = true;
  Instance instance(mesh.config);
  const std::string id = IdOf(CreateDestination(mesh, instance, webhooks));
  auto stub = ipb::NotifierInternalService::NewStub(::grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(instance.app->internal_port()), ::grpc::InsecureChannelCredentials()));
  const auto find = [&](const std::string& user, const std::string& asked, const std::string& token) {
    ::grpc::ClientContext context;
    context.AddMetadata("x-stockalert-mesh-token", token);
    ipb::FindDestinationsRequest request;
    request.set_user_id(user);
    request.add_destination_ids(asked);
    request.add_destination_ids(NewId());
    ipb::FindDestinationsResponse response;
    const absl::Status status = rpc::FromGrpc(stub->FindDestinations(&context, request, &response));
    if (!status.ok()) return base::ReasonOf(status);
    return response.destination_ids_size() == 0 ? std::string("none") : response.destination_ids(0);
  };
  CHECK(find(kUser, id, testing::kFakeMeshToken) == id);
  CHECK(find(kOther, id, testing::kFakeMeshToken) == "none");
  CHECK(find(kUser, "no id", testing::kFakeMeshToken) == "INVALID_FIELD");
  CHECK(find(kUser, id, "another token that is long") == "MESH_TOKEN_INVALID");
}

TEST_CASE("without keys no destination can be created, and notifications are stored as usual") {
  Mesh mesh;
  Instance instance(mesh.config);
  auto stub = npb::DestinationService::NewStub(::grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(instance.app->public_port()), ::grpc::InsecureChannelCredentials()));
  ::grpc::ClientContext context;
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  npb::CreateDestinationRequest request;
  request.set_parent("users/me");
  request.mutable_destination()->mutable_webhook()->set_url("https://example.com/");
  npb::CreateDestinationResponse created;
  CHECK(base::ReasonOf(rpc::FromGrpc(stub->CreateDestination(&context, request, &created))) == "DELIVERY_OFF");
  mesh.Trigger(kUser, NewId(), 1);
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 1; }));
}

TEST_CASE("a missing table makes no dead letters: the intake waits for it") {
  Mesh mesh;
  Instance instance(mesh.config);
  mesh.database.Execute("ALTER TABLE stockalert_notifier.notifications RENAME TO away");
  mesh.Trigger(kUser, NewId(), 1);
  const auto& blocked = metrics::GetGauge("stockalert_consumer_blocked_seconds", "");
  REQUIRE(Eventually([&] { return blocked.Value() > 0; }));
  mesh.database.Execute("ALTER TABLE stockalert_notifier.away RENAME TO notifications");
  REQUIRE(Eventually([&] { return mesh.database.Count(kCount) == 1; }));
  CHECK(mesh.database.Count(kLetters) == 0);
  REQUIRE(Eventually([&] { return blocked.Value() == 0; }));
}

TEST_CASE("a stream of one instance shows notifications that another one stored") {
  Mesh mesh;
  Instance one(mesh.config);
  Instance two(mesh.config);
  WatchCall on_one(one, "");
  WatchCall on_two(two, "");
  REQUIRE(on_one.Read());
  REQUIRE(on_two.Read());
  const std::string alert = NewId();
  for (int64_t number = 1; number <= 20; ++number) mesh.Trigger(kUser, alert, number);
  REQUIRE(on_one.ReadUntil(20));
  REQUIRE(on_two.ReadUntil(20));
  for (size_t i = 0; i < 20; ++i) {
    CHECK(on_one.seen[i].name() == on_two.seen[i].name());
    CHECK(on_one.seen[i].trigger().ends_with("/" + std::to_string(i + 1)));
  }
}

TEST_CASE("while the database is down calls are answered and streams wait; then each trigger arrives once") {
  Mesh mesh;
  testing::FlakyProxy proxy(mesh.database.port());
  mesh.config.postgres_url = mesh.database.UrlAtPort(proxy.port());
  Instance instance(mesh.config);
  WatchCall watch(instance, "");
  REQUIRE(watch.Read());
  const std::string alert = NewId();
  mesh.Trigger(kUser, alert, 1);
  REQUIRE(watch.ReadUntil(1));
  proxy.Cut();
  mesh.Trigger(kUser, alert, 2);
  npb::ListNotificationsRequest list;
  list.set_parent("users/me");
  npb::ListNotificationsResponse listed;
  ::grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(8)));
  context.AddMetadata("authorization", std::string("Bearer ") + kKey);
  const absl::Status refused = rpc::FromGrpc(instance.stub->ListNotifications(&context, list, &listed));
  CHECK(refused.code() == absl::StatusCode::kUnavailable);
  CHECK(base::ReasonOf(refused) == "DATABASE_UNAVAILABLE");
  mesh.Trigger(kUser, alert, 3);
  proxy.Mend();
  REQUIRE(watch.ReadUntil(3));
  CHECK(watch.seen[1].trigger().ends_with("/triggers/2"));
  CHECK(watch.seen[2].trigger().ends_with("/triggers/3"));
  CHECK(mesh.database.Count("SELECT count(*) FROM stockalert_notifier.notifications") == 3);
}

}  // namespace
}  // namespace stockalert::notifier
