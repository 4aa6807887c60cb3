#include "services/common/boot/await.h"

#include <catch2/catch.hpp>
#include <string>

#include "absl/time/clock.h"
#include "tests/support/mock_kafka/mock_kafka.h"

namespace stockalert::boot {
namespace {

TopicsOptions Topics(const std::string& bootstrap, const std::string& late = "") {
  return {.bootstrap = bootstrap,
          .security = {},
          .client_id = "test",
          .topics = {"prices", "triggers"},
          .late_without_broker = late};
}

TEST_CASE("a database is asked until it answers") {
  int asked = 0;
  CHECK(AwaitDatabase([&] { return ++asked < 3 ? absl::UnavailableError("away") : absl::OkStatus(); },
                      absl::Now() + absl::Seconds(20))
            .ok());
  CHECK(asked == 3);
}

TEST_CASE("a database that does not answer in time, or has no tables, ends the wait with what to do") {
  const absl::Status status =
      AwaitDatabase([] { return absl::InternalError("no such table"); }, absl::Now() + absl::Milliseconds(50));
  CHECK(absl::IsUnavailable(status));
  CHECK(std::string(status.message()).find("stockalert-migrate") != std::string::npos);
}

TEST_CASE("topics that are there, and one that is not") {
  testing::MockKafka kafka;
  kafka.CreateTopic("prices", 1);
  for (const char* late : {"", "latest prices"}) {
    const absl::Status missing = AwaitTopics(Topics(kafka.bootstrap(), late), absl::Now() + absl::Milliseconds(50));
    CHECK(absl::IsNotFound(missing));
    CHECK(std::string(missing.message()).find("triggers") != std::string::npos);
  }
  kafka.CreateTopic("triggers", 1);
  CHECK(AwaitTopics(Topics(kafka.bootstrap()), absl::Now() + absl::Seconds(10)).ok());
}

TEST_CASE("without a broker goes on who may, and after a moment, whatever the time it has") {
  const absl::Time began = absl::Now();
  CHECK(AwaitTopics(Topics("127.0.0.1:1", "latest prices"), began + absl::Minutes(5)).ok());
  CHECK(absl::Now() - began < absl::Seconds(20));
  CHECK(absl::IsUnavailable(AwaitTopics(Topics("127.0.0.1:1"), absl::Now() + absl::Milliseconds(50))));
}

}  // namespace
}  // namespace stockalert::boot
