#include "services/common/kafka/record_queue.h"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"

namespace stockalert::kafka {
namespace {

QueuedRecord Record(int32_t partition, int64_t offset) {
  return {{"t", partition}, offset, 0, "", absl::StrCat(partition, "/", offset), ""};
}

}  // namespace

TEST_CASE("a batch has a share of every lane, in each lane's order") {
  RecordQueue queue;
  for (int64_t offset = 0; offset < 100; ++offset) queue.Push("noisy", Record(0, offset));
  queue.Push("quiet", Record(0, 100));
  queue.Push("quiet", Record(0, 101));
  const auto batch = queue.PopBatch(4);
  REQUIRE(batch.size() == 4);
  CHECK(batch[0].offset == 0);
  CHECK(batch[1].offset == 100);
  CHECK(batch[2].offset == 1);
  CHECK(batch[3].offset == 101);
  CHECK(queue.size() == 98);
}

TEST_CASE("an offset is returned once, after all records before it are done") {
  RecordQueue queue;
  queue.Push("a", Record(0, 5));
  queue.Push("b", Record(0, 6));
  queue.Push("a", Record(1, 9));
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 0}, 5}, {{"t", 1}, 9}});
  const auto batch = queue.PopBatch(10);
  queue.MarkDone({batch[1]});  // b's: 6, before 5.
  CHECK(queue.TakeNextOffsets().empty());
  queue.MarkDone({batch[0]});
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 0}, 7}});
  queue.MarkDone({batch[2]});
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 1}, 10}});
  CHECK(queue.TakeNextOffsets().empty());
}

TEST_CASE("what is cleared is forgotten, and what is done of it afterwards counts for nothing") {
  RecordQueue queue;
  queue.Push("a", Record(0, 5));
  queue.Push("b", Record(0, 6));
  const auto batch = queue.PopBatch(1);
  queue.Clear();
  CHECK(queue.empty());
  queue.MarkDone(batch);
  CHECK(queue.TakeNextOffsets().empty());
  queue.Push("a", Record(0, 5));
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 0}, 5}});
}

TEST_CASE("a partition that stands still at a record has nothing from there on, and what was before it is done") {
  RecordQueue queue;
  for (int64_t offset = 0; offset < 10; ++offset) queue.Push(absl::StrCat("lane", offset % 3), Record(0, offset));
  queue.Push("lane0", Record(1, 0));
  const auto batch = queue.PopBatch(3);  // 0, 1 and 2.
  queue.HoldAt({"t", 0}, 5);
  queue.HoldAt({"t", 7}, 5);  // Of which nothing is there.
  queue.MarkDone(batch);
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 0}, 3}, {{"t", 1}, 0}});
  const auto rest = queue.PopBatch(100);
  REQUIRE(rest.size() == 3);  // 3 and 4, and the other partition's.
  queue.MarkDone(rest);
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 0}, 5}, {{"t", 1}, 1}});
  // Read again from there.
  for (int64_t offset = 5; offset < 10; ++offset) queue.Push("lane0", Record(0, offset));
  queue.MarkDone(queue.PopBatch(100));
  CHECK(queue.TakeNextOffsets() == std::map<TopicPartition, int64_t>{{{"t", 0}, 10}});
}

TEST_CASE("no offset is returned before its record is done, in any order, and in the end all are") {
  const unsigned seed = GENERATE(1U, 2U, 3U);
  std::mt19937 random(seed);
  RecordQueue queue;
  std::map<int32_t, int64_t> pushed;
  std::map<int32_t, std::set<int64_t>> open;
  for (int step = 0; step < 3000; ++step) {
    if (random() % 3 != 0) {
      const auto partition = static_cast<int32_t>(random() % 4);
      const int64_t offset = pushed[partition];
      pushed[partition] += 1 + static_cast<int64_t>(random() % 2);  // Logs have holes.
      open[partition].insert(offset);
      queue.Push(absl::StrCat(random() % 3), Record(partition, offset));
      continue;
    }
    const auto batch = queue.PopBatch(1 + random() % 5);
    for (const QueuedRecord& record : batch) open[record.partition.partition].erase(record.offset);
    queue.MarkDone(batch);
    for (const auto& [place, next] : queue.TakeNextOffsets()) {
      const auto& waiting = open[place.partition];
      CHECK((waiting.empty() || next <= *waiting.begin()));
    }
  }
  while (!queue.empty()) queue.MarkDone(queue.PopBatch(7));
  for (const auto& [place, next] : queue.TakeNextOffsets()) CHECK(next <= pushed[place.partition]);
}

TEST_CASE("a message that is made of a record shows all that the record has") {
  constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  QueuedRecord record{{"t", 3}, 7, 5, "key", std::string("a\0b", 3), kTrace, {}};
  Message message(record);
  Message moved(std::move(message));
  CHECK(moved.topic() == "t");
  CHECK(moved.FindHeader(kTraceparentHeader) == kTrace);
  CHECK(!moved.FindHeader("x"));
  QueuedRecord copy = CopyRecord(moved);
  CHECK(copy.partition == record.partition);
  CHECK(copy.offset == 7);
  CHECK(copy.log_time_us == 5);
  CHECK(copy.key == "key");
  CHECK(copy.value == record.value);
  CHECK(copy.traceparent == kTrace);
  CHECK(copy.headers.empty());

  record.headers = {{"x", "1"}, {kTraceparentHeader, kTrace}, {"x", "2"}};
  moved = Message(record);
  CHECK(moved.FindHeader("x") == "2");
  CHECK(moved.traceparent() == kTrace);
  CHECK(CopyRecord(moved).headers.size() == 3);
}

}  // namespace stockalert::kafka
