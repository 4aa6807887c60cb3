#include "services/evaluator/question_queue.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/metrics/metrics.h"
#include "services/evaluator/evaluator_errors.h"

namespace stockalert::evaluator {
namespace {

prometheus::Counter& Questions(const char* outcome) {
  return metrics::GetCounter("stockalert_evaluator_questions_total",
                             "Questions of the alert service about alerts, by what became of them: answered by the "
                             "fold's thread, refused because too many waited, or given up at their deadline.",
                             {{"outcome", outcome}});
}

absl::Status Stopping() {
  return base::Unavailable(kReasonEvaluatorStopping, "the evaluator is stopping: ask again in a moment");
}

}  // namespace

QuestionQueue::QuestionQueue(size_t questions_max)
    : questions_max_(questions_max),
      answered_(Questions("answered")),
      refused_(Questions("refused")),
      given_up_(Questions("given_up")) {}

absl::StatusOr<ExplainedAlert> QuestionQueue::Ask(int32_t partition, const std::string& alert_id, absl::Time deadline) {
  const auto question = std::make_shared<Question>();
  question->partition = partition;
  question->alert_id = alert_id;
  base::MutexLock lock(mutex_);
  if (closed_) return Stopping();
  if (waiting_.size() >= questions_max_) {
    refused_.Increment();
    return base::ResourceExhausted(kReasonEvaluatorBusy, "too many ask the evaluator at once: try again in a moment",
                                   absl::Seconds(1));
  }
  waiting_.push_back(question);
  answer_came_.WaitFor(lock, deadline - absl::Now(), [&] { return question->answer.has_value(); });
  if (question->answer.has_value()) return *std::move(question->answer);
  question->given_up = true;
  std::erase(waiting_, question);
  given_up_.Increment();
  return base::DeadlineExceeded("DEADLINE_EXCEEDED",
                                "the evaluator did not come to the question in time: it is busy, or waits for its "
                                "database; try again with more time");
}

void QuestionQueue::AnswerAll(
    const std::function<absl::StatusOr<ExplainedAlert>(int32_t partition, const std::string& alert_id)>& answer) {
  std::deque<std::shared_ptr<Question>> taken;
  {
    base::MutexLock lock(mutex_);
    if (waiting_.empty()) return;
    taken = waiting_;  // They count as waiting until they are answered.
  }
  for (const std::shared_ptr<Question>& question : taken) {
    {
      base::MutexLock lock(mutex_);
      if (question->given_up) continue;
    }
    absl::StatusOr<ExplainedAlert> said = answer(question->partition, question->alert_id);
    base::MutexLock lock(mutex_);
    if (question->given_up || question->answer.has_value()) continue;
    question->answer = std::move(said);
    std::erase(waiting_, question);
    answered_.Increment();
    answer_came_.NotifyAll();
  }
}

void QuestionQueue::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  for (const std::shared_ptr<Question>& question : waiting_) question->answer = Stopping();
  waiting_.clear();
  answer_came_.NotifyAll();
}

}  // namespace stockalert::evaluator
