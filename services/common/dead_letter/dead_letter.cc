#include "services/common/dead_letter/dead_letter.h"

#include <utility>

#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::dead_letter {

DeadLetter MakeDeadLetter(const kafka::QueuedRecord& record, std::string cause) {
  DeadLetter letter;
  letter.place = record.partition;
  letter.offset = record.offset;
  letter.key = record.key;
  letter.value = record.value;
  letter.headers = kafka::HeadersOf(record);
  letter.log_time_us = record.log_time_us;
  letter.cause = std::move(cause);
  return letter;
}

void CountDeadLetters(const std::string& topic, size_t letters) {
  metrics::GetCounter("stockalert_dead_letters_total",
                      "Records that were put aside as dead letters, repetitions included", {{"topic", topic}})
      .Increment(static_cast<double>(letters));
}

void ReportDeadLetter(const DeadLetter& letter) {
  CountDeadLetters(letter.place.topic, 1);
  static log::Limiter limiter(absl::Seconds(1));
  if (const auto suppressed = limiter.Allow()) {
    log::Error(
        "a record can never be stored, and was put aside as a dead letter; look at it with stockalert-migrate "
        "deadletters list, and replay "
        "it once the cause is gone, or drop it",
        {{"topic", letter.place.topic},
         {"partition", letter.place.partition},
         {"offset", letter.offset},
         {"cause", letter.cause},
         {"suppressed", *suppressed}});
  }
}

DeadLetterGauge::DeadLetterGauge(DeadLetterStore& store, absl::Duration interval)
    : store_(store), interval_(interval) {}

void DeadLetterGauge::Measure(absl::Time now) {
  static auto& open =
      metrics::GetGauge("stockalert_dead_letters", "Dead letters that are neither replayed nor dropped");
  if (now < next_) return;
  next_ = now + interval_;
  if (const absl::StatusOr<int64_t> count = store_.CountOpen(); count.ok()) open.Set(static_cast<double>(*count));
}

void DeadLetterGauge::MeasureSoon() { next_ = absl::InfinitePast(); }

}  // namespace stockalert::dead_letter
