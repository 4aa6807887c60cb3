// A delivery's way from the queue to its end, with a sender, a clock and chance that the test owns.
#include "services/notifier/delivery/delivery_worker.h"

#include <catch2/catch.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <variant>

#include "services/common/base/error.h"
#include "services/notifier/delivery/delivery_loop.h"
#include "services/notifier/delivery/kinds/webhook_kind.h"
#include "services/notifier/delivery/retry_schedule.h"
#include "tests/support/deliveries/in_memory_deliveries.h"
#include "tests/support/fake_clock/fake_clock.h"
#include "tests/support/fake_ids/fake_ids.h"

namespace stockalert::notifier {
namespace {

using testing::FakeIds;

const OutgoingHttp& HttpOf(const OutgoingRequest& request) { return std::get<OutgoingHttp>(request); }

// Holds what is sent until the test answers. Addresses are host names, bodies delivery ids.
class HeldSender final : public RequestSender {
 public:
  struct Held {
    OutgoingRequest request;
    Done done;
  };
  void Send(const OutgoingRequest& request, Done done) override {
    sent.push_back(request);
    held.push_back({request, std::move(done)});
  }
  static AttemptResult Status(int status, absl::Duration retry_after = absl::ZeroDuration()) {
    AttemptResult result;
    result.reply.status = status;
    result.duration = absl::Milliseconds(3);
    if (retry_after > absl::ZeroDuration())
      result.reply.headers["retry-after"] = std::to_string(absl::ToInt64Seconds(retry_after));
    return result;
  }
  // Answers all that is held now, in its order.
  void AnswerAll(const AttemptResult& result) {
    std::vector<Held> all;
    all.swap(held);
    for (Held& one : all) one.done(result);
  }
  // Answers what is held for one host.
  size_t AnswerHost(const std::string& host, const AttemptResult& result) {
    std::vector<Held> all;
    all.swap(held);
    size_t answered = 0;
    for (Held& one : all) {
      if (HttpOf(one.request).url == host) {
        one.done(result);
        ++answered;
      } else {
        held.push_back(std::move(one));
      }
    }
    return answered;
  }
  size_t HeldFor(const std::string& host) const {
    size_t count = 0;
    for (const Held& one : held) count += HttpOf(one.request).url == host ? 1 : 0;
    return count;
  }

  std::vector<OutgoingRequest> sent;
  std::vector<Held> held;
};

class PlainTranslator final : public DeliveryTranslator {
 public:
  absl::StatusOr<OutgoingRequest> Compose(const Destination& destination, const DueDelivery& due, int64_t) override {
    if (!failure.ok()) return failure;
    return OutgoingHttp{.url = destination.host, .headers = {WebhookId(due.delivery.id)}, .body = due.delivery.id};
  }
  void HideSecrets(const Destination&, ServiceReply& reply) override {
    if (reply.body.starts_with("secret")) reply.body.replace(0, 6, "***");
  }
  Verdict Judge(const Destination&, const Delivery& delivery, const ServiceReply& reply, int64_t now_us) override {
    if (refused) return {VerdictKind::kRefused, "it is refused", {}};
    return webhook->Judge(reply, delivery, now_us);
  }
  absl::Status failure;
  bool refused = false;
  std::unique_ptr<const DestinationKind> webhook = MakeWebhookKind(EgressGuard());
};

struct Fixture {
  explicit Fixture(DeliveryWorkerOptions given = {}) : options(std::move(given)) {}

  std::string Active(const std::string& user, const std::string& host, int64_t spacing_us = 0) {
    Destination destination;
    destination.spacing_us = spacing_us;
    destination.id = ids.NewUuid();
    destination.user_id = user;
    destination.target_hash = destination.id;
    destination.host = host;
    destination.state = DestinationState::kActive;
    const std::string verification = ids.NewUuid();
    REQUIRE(
        store.Create(destination, NewDelivery{verification, DeliveryKind::kVerification, "c"}, {}, 1000, clock.NowUs())
            .ok());
    REQUIRE(*store.Cancel(user, destination.id, clock.NowUs()) == 1);
    return destination.id;
  }
  std::string Queue(const std::string& user) {
    StoredNotification notification;
    notification.id = ids.NewUuid();
    notification.user_id = user;
    const std::vector<std::string> queued = store.Queue(notification, clock.NowUs());
    REQUIRE(queued.size() == 1);
    return queued[0];
  }
  // As often as it wants to be turned at once; says how often, which is to be little.
  absl::Duration TurnUntilQuiet() {
    for (int i = 0; i < 50; ++i) {
      wakes = 0;
      const absl::Duration pause = worker.RunOnce();
      if (pause > absl::ZeroDuration() && wakes == 0) return pause;
    }
    FAIL("it turns and turns");
    return absl::ZeroDuration();
  }
  void Pass(absl::Duration time) {
    clock.Advance(time);
    TurnUntilQuiet();
  }
  DeliveryWithAttempts Get(const std::string& user, const std::string& id) { return *store.GetDelivery(user, id); }

  DeliveryWorkerOptions options;
  testing::FakeClock clock;
  FakeIds ids;
  testing::InMemoryDeliveries store;
  HeldSender sender;
  PlainTranslator translator;
  double random = 0.5;  // No jitter.
  int wakes = 0;
  DeliveryWorker worker{options, store, sender, translator, clock, [this] { return random; }, [this] { ++wakes; }};
};

const std::string kUser = "11111111-1111-4111-8111-111111111111";

AttemptResult Postponed(absl::Duration pause) {
  AttemptResult result;
  result.failure = AttemptFailure::kPostponed;
  result.postpone = pause;
  result.error = "the mail server is away";
  return result;
}

TEST_CASE("what is postponed waits, counts nothing, fails nobody and does not hold up others") {
  Fixture f;
  f.Active(kUser, "mail");
  const std::string id = f.Queue(kUser);
  f.TurnUntilQuiet();
  // For an hour.
  for (int minute = 0; minute < 60; ++minute) {
    REQUIRE(f.sender.held.size() == 1);
    f.sender.AnswerAll(Postponed(absl::Seconds(48)));
    f.TurnUntilQuiet();
    REQUIRE(f.sender.held.empty());
    // 48 s, and a quarter more by the middle of chance.
    f.Pass(absl::Seconds(59));
    REQUIRE(f.sender.held.empty());
    f.Pass(absl::Seconds(2));
  }
  const DeliveryWithAttempts waiting = f.Get(kUser, id);
  CHECK(waiting.delivery.state == DeliveryState::kQueued);
  CHECK(waiting.delivery.attempt_count == 0);
  CHECK(waiting.attempts.empty());
  CHECK_FALSE(f.store.Get(kUser, waiting.delivery.destination_id)->failing_since_time_us);
  f.sender.AnswerAll(HeldSender::Status(200));
  f.TurnUntilQuiet();
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
  CHECK(f.Get(kUser, id).attempts.size() == 1);
}

TEST_CASE("all that is under way when the way is closed comes back in its order") {
  Fixture f;
  f.Active(kUser, "mail");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(f.Queue(kUser));
  f.TurnUntilQuiet();
  REQUIRE(f.sender.held.size() == 5);
  f.sender.AnswerAll(Postponed(absl::Seconds(8)));
  f.TurnUntilQuiet();
  CHECK(f.sender.held.empty());
  f.sender.sent.clear();
  f.Pass(absl::Seconds(11));
  REQUIRE(f.sender.sent.size() == 5);
  for (size_t i = 0; i < 5; ++i) CHECK(HttpOf(f.sender.sent[i]).body == ids[i]);
}

TEST_CASE("a queued delivery is attempted at once and succeeds") {
  Fixture f;
  f.Active(kUser, "a");
  f.TurnUntilQuiet();
  CHECK(f.sender.sent.empty());
  const std::string id = f.Queue(kUser);
  f.worker.Wake({kUser});
  CHECK(f.wakes == 1);
  f.TurnUntilQuiet();
  REQUIRE(f.sender.sent.size() == 1);
  CHECK(HttpOf(f.sender.sent[0]).headers.front() == WebhookId(id));
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kQueued);
  f.sender.AnswerAll(HeldSender::Status(204));
  f.TurnUntilQuiet();
  const DeliveryWithAttempts after = f.Get(kUser, id);
  CHECK(after.delivery.state == DeliveryState::kSucceeded);
  REQUIRE(after.attempts.size() == 1);
  CHECK(after.attempts[0].http_status == 204);
  CHECK(after.attempts[0].duration_us == 3000);
  CHECK(after.attempts[0].error.empty());
  CHECK(f.store.leased(f.clock.NowUs()) == 0);
}

TEST_CASE("what a receiver repeats of the secrets is not stored") {
  Fixture f;
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  f.TurnUntilQuiet();
  AttemptResult echo = HeldSender::Status(500);
  echo.reply.body = "secret, and more";
  f.sender.AnswerAll(echo);
  f.TurnUntilQuiet();
  CHECK(f.Get(kUser, id).attempts.at(0).answer == "***, and more");
}

TEST_CASE("a poll finds deliveries queued by other instances, and the worker does not spin") {
  Fixture f;
  f.Active(kUser, "a");
  const absl::Duration pause = f.TurnUntilQuiet();
  CHECK(pause == f.options.poll_interval);
  f.Queue(kUser);
  f.Pass(f.options.poll_interval / 2);
  CHECK(f.sender.sent.empty());
  f.Pass(f.options.poll_interval / 2);
  CHECK(f.sender.sent.size() == 1);
  // While it is under way, too, there is nothing to turn for.
  CHECK(f.TurnUntilQuiet() > absl::ZeroDuration());
}

TEST_CASE("a delivery that always fails is attempted by the whole schedule under one id, and is then FAILED") {
  DeliveryWorkerOptions options;
  options.disable_after_failing = absl::Hours(24 * 30);
  Fixture f(options);
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  for (int attempt = 1; attempt <= kAttemptsMax; ++attempt) {
    INFO(attempt);
    REQUIRE(f.sender.sent.size() == static_cast<size_t>(attempt));
    CHECK(HttpOf(f.sender.sent.back()).headers.front() == WebhookId(id));
    f.sender.AnswerAll(HeldSender::Status(500));
    f.TurnUntilQuiet();
    const Delivery delivery = f.Get(kUser, id).delivery;
    CHECK(delivery.attempt_count == attempt);
    CHECK(delivery.last_error == "answered 500");
    if (attempt == kAttemptsMax) {
      CHECK(delivery.state == DeliveryState::kFailed);
      break;
    }
    REQUIRE(delivery.state == DeliveryState::kQueued);
    f.Pass(PauseBefore(attempt + 1) - absl::Seconds(1));
    CHECK(f.sender.sent.size() == static_cast<size_t>(attempt));
    f.Pass(absl::Seconds(2));
  }
  f.Pass(absl::Hours(48));
  CHECK(f.sender.sent.size() == kAttemptsMax);
  // A replay begins the schedule afresh.
  REQUIRE(f.store.Replay(kUser, id, f.clock.NowUs()).ok());
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  REQUIRE(f.sender.sent.size() == kAttemptsMax + 1);
  f.sender.AnswerAll(HeldSender::Status(500));
  f.TurnUntilQuiet();
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kQueued);
  CHECK(f.Get(kUser, id).delivery.attempt_count == kAttemptsMax + 1);
}

TEST_CASE("a 410 disables the destination at once, sends nothing more, and cancels queued deliveries") {
  DeliveryWorkerOptions options;
  options.bounds.per_destination_max = 1;
  Fixture f(options);
  const std::string destination = f.Active(kUser, "a");
  std::vector<std::string> deliveries;
  for (int i = 0; i < 3; ++i) deliveries.push_back(f.Queue(kUser));
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  REQUIRE(f.sender.sent.size() == 1);
  f.sender.AnswerAll(HeldSender::Status(410));
  f.TurnUntilQuiet();
  f.Pass(f.options.poll_interval);
  CHECK(f.sender.sent.size() == 1);
  CHECK(f.store.Get(kUser, destination)->state == DestinationState::kDisabled);
  CHECK(f.store.Get(kUser, destination)->disable_reason == DisableReason::kGone);
  CHECK(f.Get(kUser, deliveries[0]).delivery.state == DeliveryState::kFailed);
  CHECK(f.Get(kUser, deliveries[1]).delivery.state == DeliveryState::kCancelled);
  CHECK(f.Get(kUser, deliveries[2]).delivery.state == DeliveryState::kCancelled);
  CHECK(f.store.leased(f.clock.NowUs()) == 0);
}

TEST_CASE("what is disabled is told at the user's other destinations at once, without a poll") {
  Fixture f;
  const std::string gone = f.Active(kUser, "a");
  f.Active(kUser, "b");
  StoredNotification notification;
  notification.id = f.ids.NewUuid();
  notification.user_id = kUser;
  notification.routing = {message::Route::kNamed, {gone}, false};
  REQUIRE(f.store.Queue(notification, f.clock.NowUs()).size() == 1);
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  REQUIRE(f.sender.sent.size() == 1);
  f.clock.Advance(absl::Milliseconds(5));
  REQUIRE(f.sender.AnswerHost("a", HeldSender::Status(410)) == 1);
  f.TurnUntilQuiet();
  REQUIRE(f.sender.sent.size() == 2);
  CHECK(f.sender.HeldFor("b") == 1);
  CHECK(f.store.Notices(kUser).size() == 1);
  f.sender.AnswerAll(HeldSender::Status(204));
  f.Pass(f.options.poll_interval);
  CHECK(f.sender.sent.size() == 2);
}

TEST_CASE("five days of nothing but failures disable a destination") {
  Fixture f;
  const std::string destination = f.Active(kUser, "a");
  for (int day = 0; day <= 5; ++day) {
    INFO(day);
    REQUIRE(f.store.Get(kUser, destination)->state == DestinationState::kActive);
    f.Queue(kUser);
    f.worker.Wake({kUser});
    f.TurnUntilQuiet();
    REQUIRE(!f.sender.held.empty());
    while (!f.sender.held.empty()) {
      f.sender.AnswerAll(HeldSender::Status(500));
      f.TurnUntilQuiet();
    }
    if (day < 5) f.clock.Advance(absl::Hours(24));
  }
  CHECK(f.store.Get(kUser, destination)->state == DestinationState::kDisabled);
  CHECK(f.store.Get(kUser, destination)->disable_reason == DisableReason::kFailing);
}

TEST_CASE("an attempt at a destination that wants a pause starts that long after the end of the one before") {
  Fixture f;
  f.Active(kUser, "a", /*spacing_us=*/1'000'000);
  const std::string other = "22222222-2222-4222-8222-222222222222";
  f.Active(other, "b");
  for (int i = 0; i < 4; ++i) f.Queue(kUser);
  for (int i = 0; i < 4; ++i) f.Queue(other);
  f.worker.Wake({kUser, other});
  CHECK(f.TurnUntilQuiet() <= absl::Seconds(1));
  // Others do not wait for it.
  CHECK(f.sender.HeldFor("b") == 4);
  CHECK(f.sender.HeldFor("a") == 1);
  // What is on its way for long may get there just before the next one.
  f.Pass(absl::Seconds(2));
  CHECK(f.sender.HeldFor("a") == 1);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(f.sender.AnswerHost("a", HeldSender::Status(200)) == 1);
    f.TurnUntilQuiet();
    f.Pass(absl::Milliseconds(999));
    CHECK(f.sender.HeldFor("a") == 0);
    f.Pass(absl::Milliseconds(1));
    CHECK(f.sender.HeldFor("a") == 1);
  }
}

TEST_CASE("a pause that ends before the next poll is not lengthened to it") {
  Fixture f;
  f.Active(kUser, "a", /*spacing_us=*/100'000);
  for (int i = 0; i < 2; ++i) f.Queue(kUser);
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  REQUIRE(f.sender.AnswerHost("a", HeldSender::Status(200)) == 1);
  CHECK(f.TurnUntilQuiet() == absl::Milliseconds(100));
  CHECK(f.sender.HeldFor("a") == 0);
}

TEST_CASE("the pause between attempts outlasts the lease of its lane") {
  Fixture f;
  f.Active(kUser, "a", /*spacing_us=*/3'000'000);
  f.Queue(kUser);
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  REQUIRE(f.sender.AnswerHost("a", HeldSender::Status(200)) == 1);
  f.TurnUntilQuiet();
  f.Pass(absl::Milliseconds(600));
  CHECK(f.store.leased(f.clock.NowUs()) == 0);
  f.Queue(kUser);
  f.worker.Wake({kUser});
  f.Pass(absl::Milliseconds(600));
  CHECK(f.sender.held.empty());
  f.Pass(absl::Seconds(2));
  CHECK(f.sender.HeldFor("a") == 1);
}

TEST_CASE("a delivery that is refused for good fails at once, and its destination goes on") {
  Fixture f;
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  f.translator.refused = true;
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  f.sender.AnswerAll(HeldSender::Status(400));
  f.TurnUntilQuiet();
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kFailed);
  CHECK(f.Get(kUser, id).delivery.attempt_count == 1);
  f.translator.refused = false;
  const std::string next = f.Queue(kUser);
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  f.sender.AnswerAll(HeldSender::Status(200));
  f.TurnUntilQuiet();
  CHECK(f.Get(kUser, next).delivery.state == DeliveryState::kSucceeded);
}

TEST_CASE("a verification succeeds only if the answer has its challenge") {
  Fixture f;
  Destination destination;
  destination.id = f.ids.NewUuid();
  destination.user_id = kUser;
  destination.host = "a";
  destination.verification_id = f.ids.NewUuid();
  REQUIRE(f.store
              .Create(destination, NewDelivery{destination.verification_id, DeliveryKind::kVerification, "the proof"},
                      {}, 9, f.clock.NowUs())
              .ok());
  f.worker.Wake({kUser});
  f.TurnUntilQuiet();
  REQUIRE(f.sender.sent.size() == 1);
  AttemptResult result = HeldSender::Status(200);
  for (const char* wrong : {"", "ok", "{\"challenge\":\"another\"}", "{\"challenge\":7}", "[\"the proof\"]"}) {
    result.reply.body = wrong;
    f.sender.AnswerAll(result);
    f.TurnUntilQuiet();
    INFO(wrong);
    CHECK(f.store.Get(kUser, destination.id)->state == DestinationState::kUnverified);
    CHECK(!f.Get(kUser, destination.verification_id).delivery.last_error.empty());
    REQUIRE(f.Get(kUser, destination.verification_id).delivery.state == DeliveryState::kQueued);
    f.Pass(absl::Hours(24));
    REQUIRE(f.sender.held.size() == 1);
  }
  result.reply.body = " {\"challenge\": \"the proof\", \"more\": 1}";
  f.sender.AnswerAll(result);
  f.TurnUntilQuiet();
  CHECK(f.store.Get(kUser, destination.id)->state == DestinationState::kActive);
}

TEST_CASE("attempts in flight are limited for each destination, host and user, and in total") {
  DeliveryWorkerOptions options;
  options.bounds = {.in_flight_max = 20,
                    .failing_in_flight_max = 5,
                    .per_destination_max = 3,
                    .per_failing_destination_max = 1,
                    .per_host_max = 5,
                    .per_user_max = 4};
  Fixture f(options);
  const auto queue = [&](const std::string& user, int count) {
    StoredNotification notification;
    notification.user_id = user;
    for (int i = 0; i < count; ++i) {
      notification.id = f.ids.NewUuid();
      REQUIRE(!f.store.Queue(notification, f.clock.NowUs()).empty());
    }
  };
  SECTION("a destination") {
    f.Active(kUser, "a");
    queue(kUser, 10);
    f.TurnUntilQuiet();
    CHECK(f.sender.held.size() == 3);
    f.sender.held[0].done(HeldSender::Status(200));
    f.sender.held.erase(f.sender.held.begin());
    f.TurnUntilQuiet();
    CHECK(f.sender.held.size() == 3);
  }
  SECTION("a host of several users") {
    for (int i = 0; i < 4; ++i) {
      f.Active(FakeIds::Uuid(900 + i), "same");
      queue(FakeIds::Uuid(900 + i), 5);
    }
    f.TurnUntilQuiet();
    CHECK(f.sender.held.size() == 5);
    for (int i = 0; i < 20; ++i) {
      if (f.sender.held.empty()) break;
      f.sender.AnswerAll(HeldSender::Status(200));
      f.TurnUntilQuiet();
      CHECK(f.sender.held.size() <= 5);
    }
    CHECK(f.sender.sent.size() == 20);
  }
  SECTION("a user of several hosts") {
    for (int i = 0; i < 4; ++i) f.Active(kUser, "host" + std::to_string(i));
    queue(kUser, 5);
    f.TurnUntilQuiet();
    CHECK(f.sender.held.size() == 4);
    for (int i = 0; i < 20; ++i) {
      if (f.sender.held.empty()) break;
      f.sender.AnswerAll(HeldSender::Status(200));
      f.TurnUntilQuiet();
      CHECK(f.sender.held.size() <= 4);
    }
    CHECK(f.sender.sent.size() == 20);
  }
  SECTION("in all") {
    for (int i = 0; i < 30; ++i) {
      f.Active(FakeIds::Uuid(900 + i), "host" + std::to_string(i));
      queue(FakeIds::Uuid(900 + i), 2);
    }
    f.TurnUntilQuiet();
    CHECK(f.sender.held.size() == 20);
    for (int i = 0; i < 20 && !f.sender.held.empty(); ++i) {
      f.sender.AnswerAll(HeldSender::Status(200));
      f.TurnUntilQuiet();
      CHECK(f.sender.held.size() <= 20);
    }
    CHECK(f.sender.sent.size() == 60);
  }
}

TEST_CASE("dead receivers delay nobody: others are served while all attempts at the dead hang") {
  DeliveryWorkerOptions options;
  options.lanes_max = 12;
  options.failing_lanes_max = 4;
  options.bounds = {.in_flight_max = 10,
                    .failing_in_flight_max = 3,
                    .per_destination_max = 2,
                    .per_failing_destination_max = 1,
                    .per_host_max = 10,
                    .per_user_max = 10};
  Fixture f(options);
  // A hundred dead ends that have failed once, each with much to do and all of it due.
  for (int i = 0; i < 100; ++i) {
    f.Active(FakeIds::Uuid(100'000 + static_cast<uint64_t>(i)), "dead");
    for (int n = 0; n < 3; ++n) f.Queue(FakeIds::Uuid(100'000 + static_cast<uint64_t>(i)));
  }
  for (int i = 0; i < 400; ++i) {
    f.TurnUntilQuiet();
    if (f.sender.held.empty()) break;
    f.sender.AnswerAll(HeldSender::Status(500));
  }
  f.clock.Advance(absl::Seconds(10));
  f.TurnUntilQuiet();
  // They hang, no more of them than their share.
  CHECK(f.sender.HeldFor("dead") == 3);
  f.Active(kUser, "alive");
  for (int n = 0; n < 50; ++n) {
    const std::string id = f.Queue(kUser);
    f.worker.Wake({kUser});
    f.TurnUntilQuiet();
    REQUIRE(f.sender.HeldFor("alive") == 1);
    REQUIRE(f.sender.AnswerHost("alive", HeldSender::Status(200)) == 1);
    f.TurnUntilQuiet();
    REQUIRE(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
  }
  CHECK(f.sender.HeldFor("dead") == 3);
}

TEST_CASE("first attempts of a destination start in the order of their notifications") {
  DeliveryWorkerOptions options;
  options.bounds.per_destination_max = 2;
  options.deliveries_per_lane_max = 3;
  Fixture f(options);
  f.Active(kUser, "a");
  std::vector<std::string> wanted;
  for (int i = 0; i < 20; ++i) wanted.push_back(WebhookId(f.Queue(kUser)));
  for (int i = 0; i < 30 && f.sender.sent.size() < 20; ++i) {
    f.TurnUntilQuiet();
    f.sender.AnswerAll(HeldSender::Status(200));
  }
  std::vector<std::string> sent;
  for (const OutgoingRequest& request : f.sender.sent) sent.push_back(HttpOf(request).headers.front());
  CHECK(sent == wanted);
}

TEST_CASE("Retry-After delays all deliveries to the destination") {
  DeliveryWorkerOptions options;
  options.bounds.per_destination_max = 1;
  Fixture f(options);
  f.Active(kUser, "a");
  for (int i = 0; i < 3; ++i) f.Queue(kUser);
  f.TurnUntilQuiet();
  f.sender.AnswerAll(HeldSender::Status(429, absl::Minutes(10)));
  f.TurnUntilQuiet();
  f.Pass(absl::Minutes(9));
  CHECK(f.sender.sent.size() == 1);
  f.Pass(absl::Minutes(1) + absl::Seconds(1));
  CHECK(f.sender.sent.size() == 2);
}

TEST_CASE("an attempt that was not made is not counted, and is made later") {
  Fixture f;
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  f.TurnUntilQuiet();
  AttemptResult none;
  none.failure = AttemptFailure::kNotAttempted;
  f.sender.AnswerAll(none);
  f.TurnUntilQuiet();
  CHECK(f.sender.sent.size() == 1);  // Not at once.
  CHECK(f.Get(kUser, id).delivery.attempt_count == 0);
  f.Pass(f.options.poll_interval);
  REQUIRE(f.sender.sent.size() == 2);
  f.sender.AnswerAll(HeldSender::Status(200));
  f.TurnUntilQuiet();
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
}

TEST_CASE("undecryptable secrets disable the destination; a missing notification fails only its delivery") {
  Fixture f;
  const std::string destination = f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  SECTION("secrets") {
    f.translator.failure = absl::NotFoundError("sealed by the key k7");
    f.TurnUntilQuiet();
    CHECK(f.store.Get(kUser, destination)->disable_reason == DisableReason::kSecretsLost);
  }
  SECTION("a notification") {
    f.translator.failure = absl::FailedPreconditionError("it is too old");
    f.TurnUntilQuiet();
    CHECK(f.store.Get(kUser, destination)->state == DestinationState::kActive);
    CHECK(f.Get(kUser, id).delivery.last_error == "it is too old");
  }
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kFailed);
  CHECK(f.sender.sent.empty());
}

TEST_CASE("while the database is down no result is lost, and it is tried at growing intervals") {
  Fixture f;
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  f.TurnUntilQuiet();
  REQUIRE(f.sender.held.size() == 1);
  f.store.Fail(absl::UnavailableError("away"));
  f.sender.AnswerAll(HeldSender::Status(200));
  int turns = 0;
  const int64_t away_until_us = f.clock.NowUs() + 30'000'000;
  while (f.clock.NowUs() < away_until_us) {
    const absl::Duration pause = f.worker.RunOnce();
    f.clock.Advance(std::max(pause, absl::Microseconds(1)));
    ++turns;
  }
  CHECK(turns < 120);
  f.store.Fail(absl::OkStatus());
  f.Pass(absl::Seconds(3));
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
  CHECK(f.sender.sent.size() == 1);
  CHECK(f.store.leased(f.clock.NowUs()) == 0);
}

TEST_CASE("a lease is renewed while attempts are in flight, and nothing starts under an expired lease") {
  DeliveryWorkerOptions options;
  options.bounds.per_destination_max = 1;
  Fixture f(options);
  const std::string destination = f.Active(kUser, "a");
  f.Queue(kUser);
  f.Queue(kUser);
  f.TurnUntilQuiet();
  REQUIRE(f.sender.held.size() == 1);
  for (int i = 0; i < 10; ++i) f.Pass(options.lease_time / 3);
  CHECK(f.store.leased(f.clock.NowUs()) == 1);
  CHECK(f.store.lease_number(destination) == 1);
  // The database goes away until the lease is over: the next one is not begun.
  f.store.Fail(absl::UnavailableError("away"));
  f.clock.Advance(options.lease_time * 2);
  f.sender.AnswerAll(HeldSender::Status(200));
  f.worker.RunOnce();
  CHECK(f.sender.sent.size() == 1);
  f.store.Fail(absl::OkStatus());
  f.Pass(absl::Seconds(3));
  f.Pass(absl::Seconds(3));
  CHECK(f.sender.sent.size() == 2);
}

TEST_CASE("leases are renewed after a third of their time, even if attempts hang and polls are rare") {
  DeliveryWorkerOptions options;
  options.poll_interval = absl::Seconds(10);
  Fixture f(options);
  const std::string destination = f.Active(kUser, "a");
  f.Queue(kUser);
  f.TurnUntilQuiet();
  REQUIRE(f.sender.held.size() == 1);
  const int64_t end_us = f.clock.NowUs() + absl::ToInt64Microseconds(absl::Minutes(2));
  int turns = 0;
  SECTION("while it works") {
    for (; f.clock.NowUs() < end_us; ++turns) {
      const absl::Duration pause = f.TurnUntilQuiet();
      REQUIRE(pause <= options.lease_time / 3);
      f.clock.Advance(pause);
      REQUIRE(f.store.leased(f.clock.NowUs()) == 1);
    }
  }
  SECTION("while it stops") {
    for (; f.clock.NowUs() < end_us; ++turns) {
      REQUIRE(!f.worker.RunOnceToStop());
      f.clock.Advance(options.lease_time / 3);
      REQUIRE(f.store.leased(f.clock.NowUs()) == 1);
    }
  }
  CHECK(turns < 50);
  CHECK(f.store.lease_number(destination) == 1);
  CHECK(f.sender.sent.size() == 1);
}

TEST_CASE("a restarted instance takes back its own lanes at once, and others' lanes when their leases end") {
  DeliveryWorkerOptions options;
  options.owner = "test";
  options.owner_is_lasting = true;
  Fixture f(options);
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  f.TurnUntilQuiet();
  REQUIRE(f.sender.held.size() == 1);
  // As after kill -9: the first worker does nothing any more.
  f.clock.Advance(absl::Seconds(1));
  DeliveryWorkerOptions next_options = f.options;
  bool at_once = false;
  SECTION("the same instance") { at_once = true; }
  SECTION("the same instance, once the database is back") {
    at_once = true;
    f.store.Fail(absl::UnavailableError("away"));
  }
  SECTION("another instance") { next_options.owner = "another"; }
  SECTION("a name that is not known to be its own") { next_options.owner_is_lasting = false; }
  HeldSender sender;
  DeliveryWorker next{next_options, f.store, sender, f.translator, f.clock, [] { return 0.5; }, [] {}};
  next.RunOnce();
  f.store.Fail(absl::OkStatus());
  f.clock.Advance(absl::Seconds(3));
  next.RunOnce();
  CHECK(sender.sent.size() == (at_once ? 1 : 0));
  f.clock.Advance(options.lease_time);
  next.RunOnce();
  REQUIRE(sender.sent.size() == 1);
  CHECK(HttpOf(sender.sent[0]).body == HttpOf(f.sender.sent[0]).body);
  // The former process, should it be alive after all, undoes nothing.
  f.sender.AnswerAll(HeldSender::Status(500));
  f.worker.RunOnce();
  CHECK(f.Get(kUser, id).delivery.attempt_count == 0);
  sender.AnswerAll(HeldSender::Status(200));
  next.RunOnce();
  CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
}

TEST_CASE("a worker stops trying to take lanes back once their leases must have expired") {
  DeliveryWorkerOptions options;
  options.owner = "test";
  options.owner_is_lasting = true;
  Fixture f(options);
  f.Active(kUser, "a");
  f.Queue(kUser);
  f.store.FailEndingLeases(absl::UnavailableError("the statement took too long"));
  f.worker.RunOnce();
  CHECK(f.sender.sent.empty());
  f.clock.Advance(options.lease_time);
  f.TurnUntilQuiet();
  CHECK(f.sender.sent.size() == 1);
}

DueDelivery Due(const std::string& id, DeliveryKind kind = DeliveryKind::kNotification) {
  DueDelivery due;
  due.delivery.id = id;
  due.delivery.kind = kind;
  return due;
}

TEST_CASE("a window starts nothing that is no longer due when its lane is read again") {
  DeliveryWindow window({});
  LeasedLane lane;
  lane.lease = {"d", 1};
  lane.destination.id = "d";
  lane.destination.sealed_settings = "verified";
  lane.destination.state = DestinationState::kActive;
  lane.due = {Due("n-1"), Due("n-2"), Due("old question", DeliveryKind::kVerification)};
  window.AddLane(lane, 100, 10);
  REQUIRE(window.StartNext(1)->due.delivery.id == "n-1");
  // Its user has moved it to somebody who has not agreed yet.
  lane.destination.sealed_settings = "a stranger's";
  lane.destination.state = DestinationState::kUnverified;
  lane.due = {Due("question", DeliveryKind::kVerification)};
  window.AddLane(lane, 0, 10);
  const auto start = window.StartNext(2);
  REQUIRE(start);
  CHECK(start->due.delivery.id == "question");
  CHECK_FALSE(window.StartNext(2));
  // It waits in the store, and is read again when it is due again.
  lane.destination.state = DestinationState::kActive;
  lane.due = {Due("n-1"), Due("n-2")};
  window.AddLane(lane, 0, 10);
  REQUIRE(window.StartNext(3)->due.delivery.id == "n-2");
  CHECK_FALSE(window.StartNext(3));
}

// A lane of one user and one destination with so many due deliveries.
LeasedLane LaneAt(const std::string& host, const std::string& id, bool failing, int deliveries) {
  LeasedLane lane;
  lane.lease = {id, 1};
  lane.destination.id = id;
  lane.destination.user_id = id;
  lane.destination.host = host;
  lane.destination.state = DestinationState::kActive;
  lane.failing = failing;
  for (int i = 0; i < deliveries; ++i) lane.due.push_back(Due(id + "-" + std::to_string(i)));
  return lane;
}

TEST_CASE("dead receivers behind a host leave most of it to those that live there") {
  DeliveryWindow window({.in_flight_max = 100,
                         .failing_in_flight_max = 50,
                         .per_failing_destination_max = 2,
                         .per_host_max = 10,
                         .per_host_failing_max = 3});
  for (int i = 0; i < 20; ++i) window.AddLane(LaneAt("shared", "dead" + std::to_string(i), true, 5), 100, 10);
  window.AddLane(LaneAt("elsewhere", "dead", true, 1), 100, 10);
  std::vector<DeliveryWindow::Start> dead;
  while (auto start = window.StartNext(1)) dead.push_back(*start);
  CHECK(dead.size() == 4);  // Three, and the one elsewhere.
  window.AddLane(LaneAt("shared", "alive", false, 50), 100, 100);
  std::vector<DeliveryWindow::Start> alive;
  while (auto start = window.StartNext(1)) alive.push_back(*start);
  REQUIRE(alive.size() == 7);
  for (const auto& start : alive) CHECK(start.lease.destination_id == "alive");
  // An end makes room for one of its own kind, and in the end everything is attempted.
  window.EndAttempt(alive.back(), /*succeeded=*/true, /*now_us=*/1);
  const auto next = window.StartNext(1);
  REQUIRE(next);
  CHECK(next->lease.destination_id == "alive");
  alive.back() = *next;
  size_t attempts = dead.size() + alive.size();
  std::deque<DeliveryWindow::Start> all(dead.begin(), dead.end());
  all.insert(all.end(), alive.begin(), alive.end());
  int failing_at_shared = 3;
  for (; !all.empty(); all.pop_front()) {
    const bool failing = all.front().failing;
    if (failing && all.front().destination->host == "shared") --failing_at_shared;
    window.EndAttempt(all.front(), !failing, /*now_us=*/1);
    while (auto start = window.StartNext(1)) {
      if (start->failing) REQUIRE(++failing_at_shared <= 3);
      all.push_back(*start);
      ++attempts;
    }
  }
  CHECK(attempts == 20 * 5 + 1 + 50 - 1);
  CHECK(window.in_flight() == 0);
}

TEST_CASE("where a host with dead receivers recovers, those that wait for their share of it all go on") {
  DeliveryWindow window({.in_flight_max = 100,
                         .failing_in_flight_max = 50,
                         .per_failing_destination_max = 2,
                         .per_host_max = 50,
                         .per_host_failing_max = 3});
  for (int i = 0; i < 20; ++i) window.AddLane(LaneAt("shared", "lane" + std::to_string(i), true, 2), 100, 10);
  std::deque<DeliveryWindow::Start> all;
  while (auto start = window.StartNext(1)) all.push_back(*start);
  CHECK(all.size() == 3);
  size_t attempts = all.size();
  for (; !all.empty(); all.pop_front()) {
    window.EndAttempt(all.front(), /*succeeded=*/true, /*now_us=*/1);
    while (auto start = window.StartNext(1)) {
      all.push_back(*start);
      ++attempts;
    }
  }
  CHECK(attempts == 40);
}

TEST_CASE("a window reads a lane again at a poll if only its attempts are under way, and else at every fourth") {
  DeliveryWindow window({});
  LeasedLane lane;
  lane.lease = {"d", 1};
  lane.destination.id = "d";
  lane.due = {Due("n-1"), Due("n-2")};
  window.AddLane(lane, 100, 10);
  const auto first = window.StartNext(1);
  for (int poll = 1; poll <= 3; ++poll) {
    window.WakeAll();
    CHECK(window.TakeLanesToRead(10, 1).empty());
  }
  window.WakeAll();
  REQUIRE(window.TakeLanesToRead(10, 1).size() == 1);
  CHECK(window.TakeLanesToRead(10, 1).empty());
  // Another instance may have queued more for it.
  const auto second = window.StartNext(1);
  CHECK(window.TakeLanesToRead(10, 1).empty());
  window.WakeAll();
  const auto lanes = window.TakeLanesToRead(10, 1);
  REQUIRE(lanes.size() == 1);
  CHECK(lanes[0].limit == 12);
  // They could not be read.
  window.ReturnLanesToRead(lanes);
  CHECK(window.TakeLanesToRead(10, 1).size() == 1);
  // What is over is released, not read.
  for (const auto& start : {first, second}) {
    window.EndAttempt(*start, /*succeeded=*/true, /*now_us=*/1);
    window.ForgetDelivery(*start);
  }
  window.WakeAll();
  CHECK(window.TakeLanesToRead(10, 1).empty());
  CHECK(window.FindIdle({}).size() == 1);
}

TEST_CASE("a worker leaves to other instances what it cannot send soon") {
  DeliveryWorkerOptions options;
  options.bounds.in_flight_max = 4;
  options.deliveries_per_lane_max = 3;
  Fixture f(options);
  for (int i = 0; i < 40; ++i) {
    const std::string user = FakeIds::Uuid(100'000 + static_cast<uint64_t>(i));
    f.Active(user, "host " + std::to_string(i));
    for (int n = 0; n < 3; ++n) f.Queue(user);
  }
  f.TurnUntilQuiet();
  CHECK(f.sender.held.size() == 4);
  CHECK(f.store.leased(f.clock.NowUs()) <= 8);
  // It comes back for the rest without a poll.
  for (int i = 0; i < 200 && !f.sender.held.empty(); ++i) {
    f.sender.AnswerAll(HeldSender::Status(204));
    f.TurnUntilQuiet();
  }
  CHECK(f.sender.sent.size() == 120);
  CHECK(f.store.leased(f.clock.NowUs()) == 0);
}

TEST_CASE("many lanes of one delivery each are all leased without a poll, although nobody answers") {
  DeliveryWorkerOptions options;
  options.bounds.per_host_max = 1000;
  Fixture f(options);
  for (int i = 0; i < 200; ++i) {
    const std::string user = FakeIds::Uuid(100'000 + static_cast<uint64_t>(i));
    f.Active(user, "host");
    f.Queue(user);
  }
  f.TurnUntilQuiet();
  CHECK(f.sender.held.size() == 200);
}

TEST_CASE("a window starts nothing under an expired lease, and forgets the deliveries that it held") {
  DeliveryWindow window(DeliveryBounds{});
  LeasedLane lane;
  lane.lease = {FakeIds::Uuid(1), 1};
  lane.destination.id = FakeIds::Uuid(1);
  lane.due.resize(2);
  lane.due[0].delivery.id = FakeIds::Uuid(2);
  lane.due[1].delivery.id = FakeIds::Uuid(3);
  window.AddLane(lane, /*lease_until_us=*/100, /*limit=*/10);
  REQUIRE(window.StartNext(99));
  CHECK(!window.StartNext(100));
  CHECK(window.in_flight() == 1);
  // Leased anew, it comes again; what is under way does not.
  lane.lease.number = 2;
  window.AddLane(lane, 200, 10);
  const auto start = window.StartNext(150);
  REQUIRE(start);
  CHECK(start->due.delivery.id == FakeIds::Uuid(3));
  CHECK(start->lease.number == 2);
  CHECK(!window.StartNext(150));
}

TEST_CASE("a stop loses nothing: finished attempts are written, the next worker makes the others") {
  DeliveryWorkerOptions options;
  options.bounds.per_destination_max = 2;
  Fixture f(options);
  f.Active(kUser, "a");
  std::vector<std::string> deliveries;
  for (int i = 0; i < 5; ++i) deliveries.push_back(f.Queue(kUser));
  f.TurnUntilQuiet();
  REQUIRE(f.sender.held.size() == 2);
  CHECK(!f.worker.RunOnceToStop());
  f.sender.held[0].done(HeldSender::Status(200));
  f.sender.held.erase(f.sender.held.begin());
  CHECK(!f.worker.RunOnceToStop());
  CHECK(f.sender.sent.size() == 2);  // None begins.
  SECTION("in time") {
    f.sender.AnswerAll(HeldSender::Status(200));
    CHECK(f.worker.RunOnceToStop());
    CHECK(f.Get(kUser, deliveries[1]).delivery.state == DeliveryState::kSucceeded);
  }
  SECTION("not in time") {
    f.worker.Abandon();
    CHECK(f.Get(kUser, deliveries[1]).delivery.state == DeliveryState::kQueued);
  }
  CHECK(f.Get(kUser, deliveries[0]).delivery.state == DeliveryState::kSucceeded);
  CHECK(f.store.leased(f.clock.NowUs()) == 0);
  // The next has what is left, and no more.
  HeldSender sender;
  DeliveryWorker next{options, f.store, sender, f.translator, f.clock, [] { return 0.5; }, [] {}};
  std::set<std::string> sent;
  for (int i = 0; i < 20; ++i) {
    next.RunOnce();
    sender.AnswerAll(HeldSender::Status(200));
  }
  for (const std::string& id : deliveries) CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
}

TEST_CASE("the loop delivers on its own thread, and results after its destruction are harmless") {
  Fixture f;
  f.Active(kUser, "a");
  const std::string id = f.Queue(kUser);
  // Answers from another thread than the loop's, some of them late.
  class ThreadSender final : public RequestSender {
   public:
    void Send(const OutgoingRequest&, Done done) override {
      base::MutexLock lock(mutex);
      held.push_back(std::move(done));
      sent.NotifyAll();
    }
    base::Mutex mutex;
    base::ConditionVariable sent;
    std::vector<Done> held ABSL_GUARDED_BY(mutex);
  } sender;
  const auto await_sent = [&] {
    base::MutexLock lock(sender.mutex);
    REQUIRE(sender.sent.WaitFor(lock, absl::Seconds(20),
                                [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !sender.held.empty(); }));
    const RequestSender::Done done = std::move(sender.held.back());
    sender.held.pop_back();
    return done;
  };
  RequestSender::Done late;
  {
    DeliveryLoop loop(f.options, f.store, sender, f.translator, f.clock);
    await_sent()(HeldSender::Status(200));
    const std::string second = f.Queue(kUser);
    loop.Wake({kUser});
    late = await_sent();
    loop.Stop(absl::Now() + absl::Milliseconds(50));
    CHECK(f.Get(kUser, id).delivery.state == DeliveryState::kSucceeded);
    CHECK(f.Get(kUser, second).delivery.state == DeliveryState::kQueued);
    CHECK(f.store.leased(f.clock.NowUs()) == 0);
  }
  late(HeldSender::Status(200));
}

}  // namespace
}  // namespace stockalert::notifier
