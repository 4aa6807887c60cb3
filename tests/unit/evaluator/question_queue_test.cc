// Whoever asks is answered, refused or told why not; nobody is left waiting.
#include "services/evaluator/question_queue.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/evaluator/evaluator_errors.h"

namespace stockalert::evaluator {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

absl::StatusOr<ExplainedAlert> Offset(int64_t next_offset) {
  ExplainedAlert explained;
  explained.next_offset = next_offset;
  return explained;
}

}  // namespace

TEST_CASE("a question is answered by the fold's thread") {
  QuestionQueue queue(4);
  std::atomic<bool> done{false};
  std::thread fold([&] {
    while (!done) {
      queue.AnswerAll([](int32_t partition, const std::string& alert_id) -> absl::StatusOr<ExplainedAlert> {
        if (alert_id == "gone") return base::Unavailable(kReasonPartitionNotOwned, "lost meanwhile");
        return Offset(partition * 10);
      });
      absl::SleepFor(absl::Milliseconds(1));
    }
  });
  const auto answer = queue.Ask(7, "a", Soon());
  const auto gone = queue.Ask(7, "gone", Soon());
  done = true;
  fold.join();
  REQUIRE(answer.ok());
  CHECK(answer->next_offset == 70);
  CHECK(base::ReasonOf(gone.status()) == kReasonPartitionNotOwned);
}

TEST_CASE("a question too many is refused at once, and one that waits too long is given up and never answered") {
  QuestionQueue queue(2);
  std::vector<std::thread> askers;
  std::atomic<int> given_up{0};
  askers.reserve(2);
  for (int i = 0; i < 2; ++i) {
    askers.emplace_back([&] {
      absl::Status status;
      do {  // What looks whether the queue is full takes a place in it, too.
        status = queue.Ask(1, "slow", absl::Now() + absl::Seconds(2)).status();
      } while (absl::IsResourceExhausted(status));
      given_up += absl::IsDeadlineExceeded(status) ? 1 : 0;
    });
  }
  absl::Status refused;
  while (given_up == 0 && !absl::IsResourceExhausted(refused)) {
    refused = queue.Ask(1, "b", absl::Now()).status();
    absl::SleepFor(absl::Milliseconds(1));
  }
  for (std::thread& asker : askers) asker.join();
  CHECK(base::ReasonOf(refused) == kReasonEvaluatorBusy);
  CHECK(given_up == 2);
  int answered = 0;
  queue.AnswerAll([&](int32_t, const std::string&) {
    ++answered;
    return Offset(0);
  });
  CHECK(answered == 0);
}

TEST_CASE("a queue that is closed refuses those that wait and all that come") {
  QuestionQueue queue(4);
  absl::Status waiting;
  std::thread asker([&] { waiting = queue.Ask(1, "a", Soon()).status(); });
  absl::SleepFor(absl::Milliseconds(20));
  queue.Close();
  asker.join();
  CHECK(base::ReasonOf(waiting) == kReasonEvaluatorStopping);
  CHECK(base::ReasonOf(queue.Ask(1, "a", Soon()).status()) == kReasonEvaluatorStopping);
}

}  // namespace stockalert::evaluator
