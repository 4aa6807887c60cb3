// A source of bars that answers what a test tells it, and keeps what it was asked. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "services/common/base/mutex.h"
#include "services/notifier/bars/bar_source.h"

namespace stockalert::testing {

class ScriptedBars final : public notifier::BarSource {
 public:
  struct Question {
    std::string symbol;
    int64_t start_us = 0;
    int64_t end_us = 0;
    int count_max = 0;
    bool operator==(const Question&) const = default;
  };
  using Answer = absl::StatusOr<std::vector<notifier::PriceBar>>;

  // At first there are no bars.
  void Answers(std::function<Answer(const Question&)> answer) {
    base::MutexLock lock(mutex_);
    answer_ = std::move(answer);
  }
  std::vector<Question> questions() const {
    base::MutexLock lock(mutex_);
    return questions_;
  }

  Answer LastBars(const std::string& symbol, int64_t start_us, int64_t end_us, int count_max) override {
    const Question question = {symbol, start_us, end_us, count_max};
    std::function<Answer(const Question&)> answer;
    {
      base::MutexLock lock(mutex_);
      questions_.push_back(question);
      answer = answer_;
    }
    return answer ? answer(question) : std::vector<notifier::PriceBar>();
  }

 private:
  mutable base::Mutex mutex_;
  std::function<Answer(const Question&)> answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<Question> questions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace stockalert::testing
