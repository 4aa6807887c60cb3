#include "services/evaluator/checkpoint_codec.h"

#include <catch2/catch.hpp>

#include "services/domain/fold/fold.h"
#include "tests/unit/domain/fold/random_log.h"

namespace stockalert::evaluator {
namespace {

fold::FoldState SomeState(uint64_t seed, int records) {
  fold::RandomLog log(seed);
  fold::Fold fold;
  fold::Outcome outcome;
  for (int64_t offset = 0; offset < records; ++offset) fold.Apply(log.Next(), {offset, offset * 1000}, &outcome);
  return fold.Snapshot();
}

TEST_CASE("a checkpoint is decoded as it was encoded") {
  for (const fold::FoldState& state : {fold::FoldState{}, SomeState(1, 50), SomeState(2, 2000)}) {
    const absl::StatusOr<fold::FoldState> decoded = DecodeCheckpoint(EncodeCheckpoint(state));
    REQUIRE(decoded.ok());
    CHECK(*decoded == state);
  }
}

TEST_CASE("a state of many parts is decoded as it was encoded") {
  fold::FoldState state;
  for (int i = 0; i < 20'000; ++i) state.tombstones.push_back({"id-" + std::to_string(i), i, i});
  const absl::StatusOr<fold::FoldState> decoded = DecodeCheckpoint(EncodeCheckpoint(state));
  REQUIRE(decoded.ok());
  CHECK(*decoded == state);
}

TEST_CASE("equal folds have equal checkpoints") {
  CHECK(EncodeCheckpoint(SomeState(3, 500)) == EncodeCheckpoint(SomeState(3, 500)));
}

TEST_CASE("a changed byte is noticed, wherever it is") {
  const std::string good = EncodeCheckpoint(SomeState(4, 30));
  REQUIRE(DecodeCheckpoint(good).ok());
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    const absl::StatusOr<fold::FoldState> decoded = DecodeCheckpoint(bad);
    if (decoded.ok() || decoded.status().code() != absl::StatusCode::kDataLoss) {
      FAIL("byte " << at << " was changed unnoticed");
    }
  }
}

TEST_CASE("a checkpoint cut short anywhere is noticed") {
  const std::string good = EncodeCheckpoint(SomeState(5, 30));
  for (size_t size = 0; size < good.size(); ++size) {
    if (DecodeCheckpoint(std::string_view(good).substr(0, size)).ok()) FAIL("cut at " << size << " unnoticed");
  }
  CHECK_FALSE(DecodeCheckpoint(good + "x").ok());
}

TEST_CASE("what a program of before can read is written in its format") {
  constexpr size_t kVersionAt = 4;
  fold::FoldState state;
  fold::SavedSymbol& symbol = state.symbols.emplace_back();
  CHECK(EncodeCheckpoint(state)[kVersionAt] == 1);
  symbol.rules = market::Rules::kWithGaps;
  CHECK(EncodeCheckpoint(state)[kVersionAt] == 2);
  symbol = {};
  symbol.splits.push_back({"id", 1, {4, 1}});
  CHECK(EncodeCheckpoint(state)[kVersionAt] == 2);
  symbol = {};
  symbol.held_records.emplace();
  CHECK(EncodeCheckpoint(state)[kVersionAt] == 3);
}

TEST_CASE("a record that no log has is not restored from a hold") {
  fold::FoldState state;
  fold::SavedSymbol& symbol = state.symbols.emplace_back();
  symbol.symbol = "AAPL";
  record::Quote quote;
  quote.symbol = "AAPL";
  symbol.held_records = {quote};
  const absl::StatusOr<fold::FoldState> decoded = DecodeCheckpoint(EncodeCheckpoint(state));
  REQUIRE(decoded.ok());
  CHECK(*decoded == state);
  quote.symbol = "MSFT";
  symbol.held_records = {quote};
  CHECK(DecodeCheckpoint(EncodeCheckpoint(state)).status().code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("a format of another version is no damage") {
  // An empty state in format 4, with its own checksum.
  const std::string later(
      "SAFC\x04\0\0\0\0\0\0\0"
      "\xa1\xf3\xf1\x85",
      16);
  const absl::StatusOr<fold::FoldState> decoded = DecodeCheckpoint(later);
  REQUIRE_FALSE(decoded.ok());
  CHECK(decoded.status().code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace stockalert::evaluator
