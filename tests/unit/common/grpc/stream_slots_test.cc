#include "services/common/grpc/stream_slots.h"

#include <catch2/catch.hpp>
#include <deque>
#include <map>

namespace stockalert::rpc {
namespace {

using Answer = StreamSlots::Answer;

// Opens streams and remembers whose they are.
struct Streams {
  Streams(size_t slots_max, size_t per_user_max) : slots(slots_max, per_user_max) {}
  Answer Open(const std::string& user, const std::string& address) {
    ids.emplace_back();
    const StreamSlots::Acquisition taken = slots.TryAcquire(&ids.back(), user, NetworksOf(address));
    if (taken.answer != Answer::kTaken) return taken.answer;
    if (taken.ended != nullptr) {
      --held[of[taken.ended]];
      of.erase(taken.ended);
    }
    of[&ids.back()] = user;
    ++held[user];
    return taken.answer;
  }
  std::deque<char> ids;  // Their addresses name the streams.
  StreamSlots slots;
  std::map<StreamSlots::Id, std::string> of;
  std::map<std::string, size_t> held;
};

TEST_CASE("a user has a limit, and gets a slot back when a stream ends") {
  Streams streams(10, 2);
  CHECK(streams.Open("a", "192.0.2.1") == Answer::kTaken);
  CHECK(streams.Open("a", "192.0.2.1") == Answer::kTaken);
  CHECK(streams.Open("a", "192.0.2.1") == Answer::kUserFull);
  streams.slots.Release(&streams.ids[0]);
  streams.slots.Release(&streams.ids[0]);
  CHECK(streams.slots.taken() == 1);
  CHECK(streams.Open("a", "192.0.2.1") == Answer::kTaken);
}

TEST_CASE("fifty accounts with twenty streams each cannot shut others out") {
  Streams streams(1000, 20);
  for (int user = 0; user < 50; ++user) {
    for (int i = 0; i < 20; ++i)
      REQUIRE(streams.Open("noisy " + std::to_string(user), "198.51.100.1") == Answer::kTaken);
  }
  // From anywhere, from the very address of the crowd too.
  for (int user = 0; user < 50; ++user) {
    CHECK(streams.Open("quiet " + std::to_string(user), user % 2 == 0 ? "198.51.100.1" : "203.0.113.7") ==
          Answer::kTaken);
  }
  CHECK(streams.slots.taken() == 1000);
  for (int user = 0; user < 50; ++user) {
    CHECK(streams.held["quiet " + std::to_string(user)] == 1);
    CHECK(streams.held["noisy " + std::to_string(user)] == 19);
  }
  // Those that gave some up get none back at the cost of their equals or of those with fewer.
  for (int user = 0; user < 50; ++user)
    CHECK(streams.Open("noisy " + std::to_string(user), "198.51.100.1") == Answer::kFull);
}

TEST_CASE("a thousand accounts of one network, or of one customer's networks, cannot take all streams") {
  for (const bool many_networks : {false, true}) {
    Streams streams(1000, 20);
    for (int user = 0; user < 1000; ++user) {
      const std::string address = many_networks ? "2001:db8:1:" + std::to_string(user) + "::1" : "2001:db8:1:2::1";
      REQUIRE(streams.Open("noisy " + std::to_string(user), address) == Answer::kTaken);
    }
    for (int user = 0; user < 300; ++user)
      CHECK(streams.Open("quiet " + std::to_string(user), "203.0.113." + std::to_string(user % 250)) == Answer::kTaken);
    CHECK(streams.slots.taken() == 1000);
    CHECK(streams.Open("one more of them", "2001:db8:1:2::1") == Answer::kFull);
  }
}

TEST_CASE("an office behind one address keeps a tenth of the slots, whoever comes") {
  Streams streams(100, 20);
  for (int user = 0; user < 100; ++user)
    REQUIRE(streams.Open("office " + std::to_string(user), "198.51.100.1") == Answer::kTaken);
  int taken = 0;
  for (int user = 0; user < 100; ++user) {
    taken +=
        streams.Open("other " + std::to_string(user), "203.0." + std::to_string(user) + ".7") == Answer::kTaken ? 1 : 0;
  }
  CHECK(taken == 90);
  size_t office = 0;
  for (const auto& [id, user] : streams.of) office += user.starts_with("office") ? 1 : 0;
  CHECK(office == 10);
}

TEST_CASE("the newest stream goes, and an administrator's never") {
  Streams streams(3, 20);
  REQUIRE(streams.Open("", "192.0.2.1") == Answer::kTaken);
  REQUIRE(streams.Open("a", "192.0.2.1") == Answer::kTaken);
  REQUIRE(streams.Open("a", "192.0.2.1") == Answer::kTaken);
  REQUIRE(streams.Open("b", "192.0.2.1") == Answer::kTaken);
  CHECK(streams.of.contains(&streams.ids[0]));
  CHECK(streams.of.contains(&streams.ids[1]));
  CHECK_FALSE(streams.of.contains(&streams.ids[2]));
  CHECK(streams.Open("c", "192.0.2.1") == Answer::kFull);
}

}  // namespace
}  // namespace stockalert::rpc
