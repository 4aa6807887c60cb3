// NotificationService over a real server, with its store in memory.
#include "services/notifier/notification_service.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <functional>
#include <memory>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/postgres/store_failure.h"
#include "services/notifier/notification_convert.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/notification_store/in_memory_notification_store.h"
#include "tests/support/settings_store/in_memory_settings_store.h"

namespace stockalert::notifier {
namespace {

namespace npb = ::stockalert::notification::v1;
using Stub = npb::NotificationService::Stub;

const std::string kUser = "11111111-1111-4111-8111-111111111111";
const std::string kOther = "22222222-2222-4222-8222-222222222222";

class Keys final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Caller> Authenticate(std::string_view key, const trace::Context&, absl::Time) override {
    if (key == "user") return rpc::Caller{.user_id = kUser, .key_id = "1"};
    if (key == "reader")
      return rpc::Caller{.user_id = kUser, .key_id = "2", .is_administrator = false, .read_only = true};
    if (key == "other") return rpc::Caller{.user_id = kOther, .key_id = "3"};
    if (key == "admin") return rpc::Caller{.user_id = {}, .key_id = "a", .is_administrator = true};
    return base::Unauthenticated("API_KEY_INVALID", "no such key");
  }
};

struct Fixture {
  Fixture() {
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&service},
                                       .service_names = {}});
    REQUIRE(started.ok());
    server = *std::move(started);
    stub = npb::NotificationService::NewStub(server->InProcessChannel());
  }
  ~Fixture() {
    runner.EndStreams();
    server->Shutdown(absl::Now() + absl::Seconds(5));
    hub.Stop();
    runner.Stop(absl::Now() + absl::Seconds(5));
    server.reset();
  }
  static std::unique_ptr<::grpc::ClientContext> Context(const std::string& key) {
    auto context = std::make_unique<::grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
    return context;
  }
  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response& response, const std::string& key = "user") {
    const auto context = Context(key);
    return rpc::FromGrpc((stub.get()->*method)(context.get(), request, &response));
  }
  std::vector<StoredNotification> Store(const std::string& user, int count, const std::string& symbol = "AAPL") {
    IntakeBatch batch;
    for (int i = 0; i < count; ++i) {
      NewNotification notification;
      notification.id = ids.NewUuid();
      notification.user_id = user;
      notification.alert_id = ids.NewUuid();
      notification.trigger_number = 1;
      notification.symbol = symbol;
      notification.price_micros = 1'500'000;
      batch.notifications.push_back(notification);
    }
    const auto result = store.StoreBatch(batch, clock.NowUs());
    hub.Wake({user});
    return result->stored;
  }

  testing::FakeClock clock;
  base::SystemIdSource ids;
  testing::InMemoryNotificationStore store;
  Keys keys;
  rpc::CallRunner runner{{.name = "public", .threads = 4, .authenticator = &keys}};
  WatchHub hub{store, absl::Milliseconds(10)};
  testing::InMemorySettingsStore settings_store;
  SettingsLogic settings{settings_store, clock, [] {}};
  NotificationServiceImpl service{runner, store, settings, hub, clock};
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<npb::NotificationService::Stub> stub;
};

std::string FieldOf(const absl::Status& status) {
  const auto details = base::FindErrorDetails(status);
  return details && !details->violations.empty() ? details->violations[0].field : "";
}

struct Reader {
  Reader(Fixture& f, const std::string& from, bool from_start = false, const std::string& key = "reader",
         const std::string& parent = "users/me")
      : context(Fixture::Context(key)) {
    npb::WatchNotificationsRequest request;
    request.set_parent(parent);
    request.set_cursor(from);
    request.set_from_start(from_start);
    stream = f.stub->WatchNotifications(context.get(), request);
  }
  ~Reader() { context->TryCancel(); }
  bool Read() {
    npb::WatchNotificationsResponse response;
    if (!stream->Read(&response)) return false;
    cursor = response.cursor();
    for (const auto& notification : response.notifications()) names.push_back(notification.name());
    return true;
  }
  bool ReadUntil(size_t count) {
    while (names.size() < count) {
      if (!Read()) return false;
    }
    return true;
  }
  absl::Status Finish() {
    npb::WatchNotificationsResponse response;
    while (stream->Read(&response)) {
    }
    return rpc::FromGrpc(stream->Finish());
  }
  std::unique_ptr<::grpc::ClientContext> context;
  std::unique_ptr<::grpc::ClientReader<npb::WatchNotificationsResponse>> stream;
  std::string cursor;
  std::vector<std::string> names;
};

TEST_CASE("lists are newest first, paged and filtered") {
  Fixture f;
  f.Store(kUser, 3);
  const auto msft = f.Store(kUser, 2, "MSFT");
  f.Store(kOther, 4);
  npb::ListNotificationsRequest list;
  list.set_parent("users/me");
  list.set_page_size(2);
  npb::ListNotificationsResponse page;
  std::vector<std::string> names;
  do {
    REQUIRE(f.Call(&Stub::ListNotifications, list, page, "reader").ok());
    for (const auto& notification : page.notifications()) names.push_back(notification.name());
    list.set_page_token(page.next_page_token());
  } while (!page.next_page_token().empty());
  REQUIRE(names.size() == 5);
  CHECK(names[0] == "users/" + kUser + "/notifications/" + msft[1].id);

  list.clear_page_token();
  list.set_page_size(1);
  list.set_symbol("msft");
  REQUIRE(f.Call(&Stub::ListNotifications, list, page).ok());
  CHECK(page.notifications(0).symbol() == "MSFT");
  const std::string token = page.next_page_token();
  REQUIRE(!token.empty());
  // A token from another filter, or of another user.
  npb::ListNotificationsRequest elsewhere = list;
  elsewhere.set_page_token(token);
  elsewhere.set_symbol("AAPL");
  CHECK(FieldOf(f.Call(&Stub::ListNotifications, elsewhere, page)) == "page_token");
  elsewhere.set_symbol("MSFT");
  CHECK(FieldOf(f.Call(&Stub::ListNotifications, elsewhere, page, "other")) == "page_token");
  CHECK(f.Call(&Stub::ListNotifications, elsewhere, page).ok());

  npb::ListNotificationsRequest by_alert;
  by_alert.set_parent("users/" + kUser);
  by_alert.set_alert("users/" + kUser + "/alerts/" + msft[0].alert_id);
  REQUIRE(f.Call(&Stub::ListNotifications, by_alert, page, "admin").ok());
  CHECK(page.notifications_size() == 1);
}

TEST_CASE("bad requests name the field; other users' notifications are NOT_FOUND") {
  Fixture f;
  const auto stored = f.Store(kUser, 1);
  npb::ListNotificationsResponse page;
  const struct {
    const char* field;
    std::function<void(npb::ListNotificationsRequest&)> break_it;
  } cases[] = {
      {"parent", [](auto& r) { r.set_parent(""); }},       {"parent", [](auto& r) { r.set_parent("users/nobody"); }},
      {"page_size", [](auto& r) { r.set_page_size(-1); }}, {"page_token", [](auto& r) { r.set_page_token("x"); }},
      {"alert", [](auto& r) { r.set_alert("alerts/5"); }}, {"symbol", [](auto& r) { r.set_symbol("A B"); }}};
  for (const auto& one : cases) {
    npb::ListNotificationsRequest list;
    list.set_parent("users/me");
    one.break_it(list);
    CAPTURE(list.ShortDebugString());
    const absl::Status refused = f.Call(&Stub::ListNotifications, list, page);
    CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
    CHECK(FieldOf(refused) == one.field);
  }
  npb::ListNotificationsRequest list;
  list.set_parent("users/" + kUser);
  CHECK(f.Call(&Stub::ListNotifications, list, page, "other").code() == absl::StatusCode::kNotFound);
  list.set_parent("users/me");
  list.set_alert("users/" + kUser + "/alerts/" + stored[0].alert_id);
  CHECK(f.Call(&Stub::ListNotifications, list, page, "other").code() == absl::StatusCode::kNotFound);
  CHECK(f.Call(&Stub::ListNotifications, list, page, "wrong").code() == absl::StatusCode::kUnauthenticated);
  f.store.Fail(base::Unavailable(postgres::kReasonDatabaseUnavailable, "down"));
  CHECK(f.Call(&Stub::ListNotifications, list, page).code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("only its user can acknowledge a notification, and doing so is idempotent") {
  Fixture f;
  const auto stored = f.Store(kUser, 1);
  npb::AcknowledgeNotificationRequest request;
  request.set_name("users/me/notifications/" + stored[0].id);
  npb::Notification answer;
  CHECK(f.Call(&Stub::AcknowledgeNotification, request, answer, "reader").code() ==
        absl::StatusCode::kPermissionDenied);
  CHECK(base::ReasonOf(f.Call(&Stub::AcknowledgeNotification, request, answer, "other")) == "NOTIFICATION_NOT_FOUND");
  REQUIRE(f.Call(&Stub::AcknowledgeNotification, request, answer).ok());
  const auto first = answer.acknowledge_time();
  f.clock.Advance(absl::Seconds(5));
  REQUIRE(f.Call(&Stub::AcknowledgeNotification, request, answer).ok());
  CHECK(answer.acknowledge_time().seconds() == first.seconds());
  request.set_name("users/" + kUser + "/notifications/" + stored[0].id);
  CHECK(base::ReasonOf(f.Call(&Stub::AcknowledgeNotification, request, answer, "other")) == "NOTIFICATION_NOT_FOUND");
  request.set_name("users/me/notifications/1");
  CHECK(FieldOf(f.Call(&Stub::AcknowledgeNotification, request, answer)) == "name");
}

TEST_CASE("a watch starts at once, and resumes from any of its cursors without loss or repetition") {
  Fixture f;
  f.Store(kUser, 2);
  Reader fresh(f, "");
  REQUIRE(fresh.Read());
  CHECK(fresh.names.empty());
  CHECK(fresh.cursor == EncodeCursor(kUser, 2));
  f.Store(kOther, 5);
  f.Store(kUser, 3);
  REQUIRE(fresh.ReadUntil(3));
  f.Store(kUser, 400);
  REQUIRE(fresh.ReadUntil(403));

  Reader all(f, "", true);
  REQUIRE(all.ReadUntil(405));
  CHECK(std::vector<std::string>(all.names.begin() + 2, all.names.end()) == fresh.names);
  for (const int64_t place : {0, 1, 100, 404}) {
    Reader resumed(f, EncodeCursor(kUser, place));
    REQUIRE(resumed.ReadUntil(static_cast<size_t>(405 - place)));
    CHECK(resumed.names == std::vector<std::string>(all.names.begin() + place, all.names.end()));
  }
  Reader at_end(f, all.cursor);
  REQUIRE(at_end.Read());
  CHECK(at_end.names.empty());
  CHECK(at_end.cursor == all.cursor);
}

TEST_CASE("malformed cursors, other users' cursors and cursors beyond the end are refused") {
  Fixture f;
  f.Store(kUser, 2);
  f.Store(kOther, 2);
  for (const std::string& cursor : {std::string("5"), EncodeCursor(kOther, 1), EncodeCursor(kUser, 3)}) {
    Reader reader(f, cursor);
    const absl::Status refused = reader.Finish();
    CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
    CHECK(FieldOf(refused) == "cursor");
  }
  CHECK(FieldOf(Reader(f, EncodeCursor(kUser, 1), true).Finish()) == "from_start");
  CHECK(Reader(f, "", false, "other", "users/" + kUser).Finish().code() == absl::StatusCode::kNotFound);
  CHECK(Reader(f, "", false, "wrong").Finish().code() == absl::StatusCode::kUnauthenticated);
  CHECK(FieldOf(Reader(f, "", false, "admin", "users/me").Finish()) == "parent");
  Reader administrator(f, "", true, "admin", "users/" + kUser);
  CHECK(administrator.ReadUntil(2));
}

TEST_CASE("a shutdown ends streams with a status that is to be retried") {
  auto f = std::make_unique<Fixture>();
  Reader reader(*f, "");
  REQUIRE(reader.Read());
  f->runner.EndStreams();
  CHECK(reader.Finish().code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("settings are shown as at first, and changed by what the mask names") {
  Fixture f;
  npb::GetNotificationSettingsRequest get;
  get.set_name("users/me/notificationSettings");
  npb::NotificationSettings first;
  REQUIRE(f.Call(&Stub::GetNotificationSettings, get, first, "reader").ok());
  CHECK(first.name() == "users/" + kUser + "/notificationSettings");
  CHECK(first.time_zone() == "America/New_York");
  CHECK(!first.has_price_decimals());
  CHECK(first.quiet_hours_size() == 0);

  npb::UpdateNotificationSettingsRequest update;
  update.mutable_settings()->set_name("users/me/notificationSettings");
  update.mutable_settings()->set_etag(first.etag());
  update.mutable_settings()->set_time_zone("Europe/Berlin");
  update.mutable_settings()->set_price_decimals(0);
  auto& night = *update.mutable_settings()->add_quiet_hours();
  night.add_days(npb::NotificationSettings::DAY_SUNDAY);
  night.add_days(npb::NotificationSettings::DAY_MONDAY);
  night.set_start_time("22:00");
  night.set_end_time("07:00");
  npb::NotificationSettings changed;
  REQUIRE(f.Call(&Stub::UpdateNotificationSettings, update, changed).ok());
  CHECK(changed.time_zone() == "Europe/Berlin");
  CHECK(changed.has_price_decimals());
  CHECK(changed.price_decimals() == 0);
  REQUIRE(changed.quiet_hours_size() == 1);
  CHECK(changed.quiet_hours(0).days(0) == npb::NotificationSettings::DAY_MONDAY);
  CHECK(changed.quiet_hours(0).days(1) == npb::NotificationSettings::DAY_SUNDAY);
  CHECK(changed.quiet_hours(0).start_time() == "22:00");
  CHECK(changed.quiet_hours(0).end_time() == "07:00");
  CHECK(changed.etag() != first.etag());
  CHECK(base::ReasonOf(f.Call(&Stub::UpdateNotificationSettings, update, changed)) == "ETAG_MISMATCH");

  // By the mask, what is empty is reset.
  update.mutable_settings()->clear_etag();
  update.mutable_settings()->clear_quiet_hours();
  update.mutable_settings()->clear_price_decimals();
  update.mutable_update_mask()->add_paths("quiet_hours");
  update.mutable_update_mask()->add_paths("price_decimals");
  REQUIRE(f.Call(&Stub::UpdateNotificationSettings, update, changed).ok());
  CHECK(changed.quiet_hours_size() == 0);
  CHECK(!changed.has_price_decimals());
  CHECK(changed.time_zone() == "Europe/Berlin");
  npb::NotificationSettings shown;
  REQUIRE(f.Call(&Stub::GetNotificationSettings, get, shown, "reader").ok());
  CHECK(shown.SerializeAsString() == changed.SerializeAsString());
}

TEST_CASE("settings are refused to others and to readers, with the field at fault") {
  Fixture f;
  npb::GetNotificationSettingsRequest get;
  npb::NotificationSettings answer;
  get.set_name("users/" + kUser + "/notificationSettings");
  CHECK(base::ReasonOf(f.Call(&Stub::GetNotificationSettings, get, answer, "other")) == "USER_NOT_FOUND");
  CHECK(f.Call(&Stub::GetNotificationSettings, get, answer, "admin").ok());
  get.set_name("users/me/settings");
  CHECK(FieldOf(f.Call(&Stub::GetNotificationSettings, get, answer)) == "name");
  npb::UpdateNotificationSettingsRequest update;
  update.mutable_settings()->set_name("users/" + kUser + "/notificationSettings");
  update.mutable_settings()->set_time_zone("Mars/Base");
  CHECK(FieldOf(f.Call(&Stub::UpdateNotificationSettings, update, answer)) == "settings.time_zone");
  CHECK(base::ReasonOf(f.Call(&Stub::UpdateNotificationSettings, update, answer, "other")) == "USER_NOT_FOUND");
  CHECK(f.Call(&Stub::UpdateNotificationSettings, update, answer, "reader").code() ==
        absl::StatusCode::kPermissionDenied);
  update.mutable_update_mask()->add_paths("name");
  CHECK(FieldOf(f.Call(&Stub::UpdateNotificationSettings, update, answer)) == "update_mask");
}

}  // namespace
}  // namespace stockalert::notifier
