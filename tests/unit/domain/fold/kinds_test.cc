#include "services/domain/fold/kinds.h"

#include <catch2/catch.hpp>

#include <string>
#include <type_traits>

namespace stockalert::fold {
namespace {

using condition::PercentReference;

// What the compiler says of a kind that misses something.
struct WithoutJudge : KeepsOnlyWakes, KeepsNothing, SeesAllExtremes {
  static bool MayTriggerAtFirstPrice() { return true; }
  static void StartAtArmingPrice(const Subject&, int64_t, bool) {}
  static void ContinueAfterTrigger(const Subject&, int64_t, bool) {}
  static Wakes WakesOf(const Alert&) { return {}; }
};
struct Complete : WithoutJudge {
  static Judgement Judge(const Subject&, PricePoint, int64_t) { return {}; }
};
struct WithoutRemoveFromBook : KeepsNothing, SeesAllExtremes {
  static void AddToBook(const Subject&) {}
  static bool MayTriggerAtFirstPrice() { return true; }
  static void StartAtArmingPrice(const Subject&, int64_t, bool) {}
  static Judgement Judge(const Subject&, PricePoint, int64_t) { return {}; }
  static void ContinueAfterTrigger(const Subject&, int64_t, bool) {}
  static Wakes WakesOf(const Alert&) { return {}; }
};
struct WithoutSeesExtreme : KeepsOnlyWakes, KeepsNothing {
  static bool EntersExtreme(bool) { return true; }
  static bool MayTriggerAtFirstPrice() { return true; }
  static void StartAtArmingPrice(const Subject&, int64_t, bool) {}
  static Judgement Judge(const Subject&, PricePoint, int64_t) { return {}; }
  static void ContinueAfterTrigger(const Subject&, int64_t, bool) {}
  static Wakes WakesOf(const Alert&) { return {}; }
};
struct WithoutWakesOf : KeepsOnlyWakes, KeepsNothing, SeesAllExtremes {
  static bool MayTriggerAtFirstPrice() { return true; }
  static void StartAtArmingPrice(const Subject&, int64_t, bool) {}
  static Judgement Judge(const Subject&, PricePoint, int64_t) { return {}; }
  static void ContinueAfterTrigger(const Subject&, int64_t, bool) {}
};
static_assert(ConditionKind<Complete>);
static_assert(!ConditionKind<WithoutWakesOf>);
static_assert(!ConditionKind<WithoutSeesExtreme>);
static_assert(!ConditionKind<WithoutJudge>);
static_assert(!ConditionKind<WithoutRemoveFromBook>);

std::string NameOf(const condition::Condition& condition) {
  return VisitKind(condition, [](const auto& kind) -> std::string {
    using Kind = std::decay_t<decltype(kind)>;
    if constexpr (std::is_same_v<Kind, TargetKind>) return "target";
    if constexpr (std::is_same_v<Kind, ChannelKind>) return "channel";
    if constexpr (std::is_same_v<Kind, TrailingKind>) return "trailing";
    if constexpr (std::is_same_v<Kind, FixedPercentKind>) return "percent";
    if constexpr (std::is_same_v<Kind, DatePercentKind>) {
      return kind.figure == market::DateFigure::kDayOpen ? "percent of the open" : "percent of the close";
    }
    if constexpr (std::is_same_v<Kind, WindowPercentKind>) return "percent in a window";
  });
}

TEST_CASE("each condition is of one kind, a percentage of one by what it is measured from") {
  CHECK(NameOf(condition::PriceTarget()) == "target");
  CHECK(NameOf(condition::Channel()) == "channel");
  CHECK(NameOf(condition::TrailingChange()) == "trailing");
  const auto percent = [](PercentReference reference) {
    condition::PercentChange change;
    change.reference = reference;
    return NameOf(change);
  };
  CHECK(percent(PercentReference::kArming) == "percent");
  CHECK(percent(PercentReference::kGiven) == "percent");
  CHECK(percent(PercentReference::kPreviousClose) == "percent of the close");
  CHECK(percent(PercentReference::kDayOpen) == "percent of the open");
  CHECK(percent(PercentReference::kWindow) == "percent in a window");
}

}  // namespace
}  // namespace stockalert::fold
