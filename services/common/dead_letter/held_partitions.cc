#include "services/common/dead_letter/held_partitions.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::dead_letter {
namespace {

constexpr absl::Duration kSeekTimeout = absl::Seconds(5);

}  // namespace

HeldPartitions::HeldPartitions(const std::vector<std::string>& topics, const HeldOptions& options)
    : topics_(topics), options_(options) {
  SetGauges(absl::Now());
}

void HeldPartitions::SetGauges(absl::Time now) {
  static auto& blocked =
      metrics::GetGauge("stockalert_consumer_blocked_seconds",
                        "How long the store has not taken the records that were read; 0: it takes them");
  blocked.Set(std::max(absl::ToDoubleSeconds(now - blocked_since_), 0.0));
  for (const std::string& topic : topics_) {
    double count = 0, seconds = 0;
    for (const auto& [place, held] : held_) {
      if (place.topic != topic) continue;
      ++count;
      seconds = std::max(seconds, absl::ToDoubleSeconds(now - held.since));
    }
    metrics::GetGauge("stockalert_consumer_partitions_held",
                      "Partitions that stand still at a record which must not be passed", {{"topic", topic}})
        .Set(count);
    metrics::GetGauge("stockalert_consumer_held_seconds", "How long the longest held partition has stood still",
                      {{"topic", topic}})
        .Set(seconds);
  }
}

void HeldPartitions::ResumeDue(kafka::GroupConsumer& consumer) {
  const absl::Time now = absl::Now();
  for (auto& [place, held] : held_) {
    if (now < held.next_try) continue;
    held.pause = std::min(held.pause * 2, options_.retry_max);
    held.next_try = now + held.pause;
    held.reached = false;
    absl::Status status = consumer.Seek(place, held.offset, kSeekTimeout);
    if (status.ok()) status = consumer.Resume({place});
    if (!status.ok())
      log::Warning("a held partition cannot be read again yet",
                   {{"topic", place.topic}, {"partition", place.partition}, {"error", status}});
  }
  SetGauges(now);
}

void HeldPartitions::FilterPolled(kafka::PollResult& polled) {
  if (!polled.rebalances.empty()) held_.clear();
  if (held_.empty()) return;
  std::vector<kafka::Message> admitted;
  for (kafka::Message& message : polled.messages) {
    const auto held = held_.find({std::string(message.topic()), message.partition()});
    if (held != held_.end()) {
      held->second.reached = held->second.reached || message.offset() == held->second.offset;
      if (!held->second.reached) continue;
    }
    admitted.push_back(std::move(message));
  }
  polled.messages = std::move(admitted);
}

void HeldPartitions::OnBatchSettled(kafka::GroupConsumer& consumer, const std::vector<Item>& items,
                                    const Settled& settled) {
  const absl::Time now = absl::Now();
  for (const Item& item : items) {
    // Others of its partition may come before it, for users take turns.
    const auto found = held_.find(item.place);
    if (found == held_.end() || found->second.offset != item.offset || settled.held.contains(item.place)) continue;
    held_.erase(found);
    log::Info("a held partition goes on",
              {{"topic", item.place.topic}, {"partition", item.place.partition}, {"offset", item.offset}});
  }
  for (const auto& [place, holds] : settled.held) {
    if (const absl::Status paused = consumer.Pause({place}); !paused.ok()) {
      // Its messages are left out all the same.
      log::Warning("a held partition cannot be paused",
                   {{"topic", place.topic}, {"partition", place.partition}, {"error", paused}});
    }
    const auto found = held_.find(place);
    if (found != held_.end() && found->second.offset == holds.offset) {
      found->second.reached = false;
      continue;
    }
    held_[place] = {holds.offset, now, options_.first_retry, now + options_.first_retry, false};
    log::Error(
        "a partition stands still at a record that this version must not pass; the others go on. Where the record is "
        "of a newer version, "
        "upgrade this service; else mend the cause: it is tried again by itself; or put the record aside "
        "(stockalert-migrate deadletters take)",
        {{"topic", place.topic}, {"partition", place.partition}, {"offset", holds.offset}, {"cause", holds.cause}});
  }
  SetGauges(now);
}

void HeldPartitions::Forget(const kafka::TopicPartition& place) { held_.erase(place); }

void HeldPartitions::Clear() { held_.clear(); }

void HeldPartitions::MarkBlocked() {
  blocked_since_ = std::min(blocked_since_, absl::Now());
  SetGauges(absl::Now());
}

void HeldPartitions::MarkUnblocked() {
  blocked_since_ = absl::InfiniteFuture();
  SetGauges(absl::Now());
}

}  // namespace stockalert::dead_letter
