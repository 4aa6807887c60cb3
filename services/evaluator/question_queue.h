// Questions about alerts, from the threads of calls to the thread of the fold, which answers them between two polls.
//
// Bounded: a question too many is refused at once. Whoever asks waits until the answer or its deadline, and gets an
// error when the queue is closed: nobody is left waiting. A question whose asker has given up is not answered any more.
// Thread-safe; AnswerAll belongs to the fold's thread.
#pragma once

#include <prometheus/counter.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/mutex.h"
#include "services/evaluator/evaluator_loop.h"

namespace stockalert::evaluator {

class QuestionQueue {
 public:
  explicit QuestionQueue(size_t questions_max);

  // The answer of the fold's thread. RESOURCE_EXHAUSTED (EVALUATOR_BUSY): too many wait. UNAVAILABLE
  // (EVALUATOR_STOPPING). DEADLINE_EXCEEDED. Else what the fold's thread says.
  absl::StatusOr<ExplainedAlert> Ask(int32_t partition, const std::string& alert_id, absl::Time deadline);

  // Answers those that wait now.
  void AnswerAll(
      const std::function<absl::StatusOr<ExplainedAlert>(int32_t partition, const std::string& alert_id)>& answer);
  // Refuses those that wait, and all that come.
  void Close();

 private:
  struct Question {
    int32_t partition = 0;
    std::string alert_id;
    std::optional<absl::StatusOr<ExplainedAlert>> answer;
    bool given_up = false;
  };

  const size_t questions_max_;
  prometheus::Counter& answered_;
  prometheus::Counter& refused_;
  prometheus::Counter& given_up_;
  base::Mutex mutex_;
  base::ConditionVariable answer_came_;
  std::deque<std::shared_ptr<Question>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace stockalert::evaluator
