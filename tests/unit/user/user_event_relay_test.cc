#include "services/user/user_event_relay.h"

#include <catch2/catch.hpp>

#include "absl/time/clock.h"
#include "stockalert/internal/v1/events.pb.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/memory_producer/memory_producer.h"
#include "tests/support/user_store/in_memory_user_store.h"

namespace stockalert::user {
namespace {

void AddDeleted(UserStore& store, const std::string& id) {
  const User user{.id = id,
                  .email = id,
                  .email_key = id,
                  .display_name = "n",
                  .create_time_us = 1,
                  .update_time_us = 1,
                  .version = 1};
  ApiKey key;
  key.id = "key of " + id;
  key.user_id = id;
  REQUIRE(store.CreateUser(user, key, RequestTag{}, std::nullopt).ok());
  REQUIRE(store.DeleteUser(id, 42, "00-trace", [](const User&) { return absl::OkStatus(); }).ok());
}

absl::Time Soon() { return absl::Now() + absl::Seconds(10); }

TEST_CASE("deletions are published, and removed once the broker has them") {
  testing::InMemoryUserStore store;
  testing::MemoryProducer producer;
  testing::FakeClock clock;
  UserEventRelay relay(store, producer, clock, absl::Hours(1));
  AddDeleted(store, "u1");
  AddDeleted(store, "u2");
  CHECK(*relay.RelayOnce(Soon()) == 2);
  CHECK(*relay.RelayOnce(Soon()) == 0);
  const auto records = producer.records();
  REQUIRE(records.size() == 2);
  CHECK(records[0].topic == "user-events");
  CHECK(records[0].key == "u1");
  stockalert::internal::v1::UserEvent event;
  REQUIRE(event.ParseFromString(records[0].value));
  CHECK(event.user_deleted().user_id() == "u1");
  CHECK(event.user_deleted().delete_time_us() == 42);
  REQUIRE(records[0].headers.size() == 1);
  CHECK(records[0].headers[0].value == "00-trace");
}

TEST_CASE("a code is published while it is valid, and then only its hash is kept") {
  testing::InMemoryUserStore store;
  testing::MemoryProducer producer;
  testing::FakeClock clock;
  UserEventRelay relay(store, producer, clock, absl::Hours(1));
  const auto put = [&](const std::string& id, int64_t life_us) {
    const User user{.id = id, .email = id + "@example.org", .email_key = id, .display_name = "n"};
    ApiKey key;
    key.id = "key of " + id;
    key.user_id = id;
    REQUIRE(store.CreateUser(user, key, RequestTag{}, std::nullopt).ok());
    REQUIRE(store
                .PutEmailCode(id, {"CODE", "hash", "00-trace", clock.NowUs(), clock.NowUs() + life_us},
                              {.pause_us = 0, .day_max = 9})
                .ok());
  };
  put("u1", 1000);
  put("u2", 1);
  clock.Advance(absl::Microseconds(1));
  producer.Fail(absl::UnavailableError("no broker"));
  CHECK_FALSE(relay.RelayCodesOnce(Soon()).ok());
  producer.Fail(absl::OkStatus());
  CHECK(*relay.RelayCodesOnce(Soon()) >= 1);
  CHECK(store.ReadUntoldEmailCodes(10)->empty());
  const auto records = producer.records();
  REQUIRE(records.size() == 1);
  CHECK(records[0].topic == "user-events");
  CHECK(records[0].key == "u1");
  stockalert::internal::v1::UserEvent event;
  REQUIRE(event.ParseFromString(records[0].value));
  CHECK(event.email_verification_requested().user_id() == "u1");
  CHECK(event.email_verification_requested().email() == "u1@example.org");
  CHECK(event.email_verification_requested().code() == "CODE");
  CHECK(event.email_verification_requested().expire_time_us() == clock.NowUs() + 999);
}

TEST_CASE("what the broker or the database refuses stays, and is told later") {
  testing::InMemoryUserStore store;
  testing::MemoryProducer producer;
  testing::FakeClock clock;
  UserEventRelay relay(store, producer, clock, absl::Hours(1));
  AddDeleted(store, "u1");
  producer.Fail(absl::UnavailableError("no broker"));
  CHECK_FALSE(relay.RelayOnce(Soon()).ok());
  producer.Fail(absl::OkStatus());
  store.SetDown(true);
  CHECK_FALSE(relay.RelayOnce(Soon()).ok());
  store.SetDown(false);
  CHECK(producer.records().empty());
  CHECK(*relay.RelayOnce(Soon()) == 1);
  CHECK(producer.records().size() == 1);
}

TEST_CASE("a row that Kafka can never take does not hold up those behind it") {
  testing::InMemoryUserStore store;
  testing::MemoryProducer producer;
  testing::FakeClock clock;
  UserEventRelay relay(store, producer, clock, absl::Hours(1));
  AddDeleted(store, "u1");
  AddDeleted(store, "u2");
  producer.RefuseKey("u1");
  CHECK_FALSE(relay.RelayOnce(Soon()).ok());
  REQUIRE(producer.records().size() == 1);
  CHECK(producer.records()[0].key == "u2");
  producer.RefuseKey("");
  CHECK(*relay.RelayOnce(Soon()) == 1);
  CHECK(producer.records()[1].key == "u1");
}

TEST_CASE("the thread is woken, and stops") {
  testing::InMemoryUserStore store;
  testing::MemoryProducer producer;
  testing::FakeClock clock;
  UserEventRelay relay(store, producer, clock, absl::Hours(1));
  relay.Start();
  AddDeleted(store, "u1");
  relay.Wake();
  const absl::Time give_up = Soon();
  while (producer.records().empty() && absl::Now() < give_up) {
    relay.Wake();
    absl::SleepFor(absl::Milliseconds(1));
  }
  CHECK(producer.records().size() == 1);
  relay.Stop();
  relay.Stop();
}

}  // namespace
}  // namespace stockalert::user
