// The whole notifier over real Postgres and Kafka; the user service is a fake on a real port.
#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <memory>
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
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "tests/support/fake_mesh/fake_mesh.h"
#include "tests/support/flaky_proxy/flaky_proxy.h"
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
               const kafka::Headers& headers = kafka::TraceHeaders(kTraceparent)) {
    ipb::TriggerMessage message;
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

TEST_CASE("a deleted user's notifications go and stay away; what cannot be understood is passed over") {
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
    "a record that nobody can read, or the database refuses for what it is, is put aside, and the others are stored") {
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

TEST_CASE("what fails for no clear reason holds its partition alone, and goes on by itself") {
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

TEST_CASE("an event of a kind to come holds its partition, and a user is deleted in another") {
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

TEST_CASE("a missing table is waited for: nothing is put aside for it") {
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

TEST_CASE("a stream on one instance shows what another one stored") {
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

TEST_CASE("the database away: calls answer, streams wait, and each trigger comes once afterwards") {
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
