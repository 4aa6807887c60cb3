// What the fold takes from the heap: bytes an alert, and nothing at all for a quote that changes no alert. All that the
// program allocates is counted, so this is a program of its own.
#include <malloc.h>

#include <catch2/catch.hpp>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include "absl/strings/str_format.h"
#include "services/domain/fold/fold.h"
#include "tests/unit/domain/fold/log_builder.h"

namespace {

int64_t allocations = 0;
int64_t held_bytes = 0;

void* Allocate(size_t size, size_t alignment) {
  void* const taken = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (taken == nullptr) throw std::bad_alloc();
  ++allocations;
  // As the heap accounts for it.
  held_bytes += static_cast<int64_t>(malloc_usable_size(taken) + sizeof(size_t));
  return taken;
}

void Free(void* taken) {
  if (taken == nullptr) return;
  held_bytes -= static_cast<int64_t>(malloc_usable_size(taken) + sizeof(size_t));
  std::free(taken);
}

}  // namespace

void* operator new(size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(size_t size, std::align_val_t alignment) { return Allocate(size, static_cast<size_t>(alignment)); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size, alignof(std::max_align_t)); }
void operator delete(void* taken) noexcept { Free(taken); }
void operator delete(void* taken, size_t) noexcept { Free(taken); }
void operator delete(void* taken, std::align_val_t) noexcept { Free(taken); }
void operator delete(void* taken, size_t, std::align_val_t) noexcept { Free(taken); }

namespace stockalert::fold {
namespace {

using condition::Definition;
using condition::PercentOp;
using condition::PercentReference;

std::string Uuid(int64_t number) { return absl::StrFormat("a1e47000-0000-4000-8000-%012x", number); }

class Partition {
 public:
  explicit Partition(int symbols) : symbols_(symbols) {
    for (int i = 0; i < symbols; ++i) Quote(i, 100);
  }

  void Quote(int symbol, double price) {
    record::Quote& quote = std::get<record::Quote>(quote_);
    quote.symbol = "SYM";
    quote.symbol += std::to_string(symbol);
    quote.price_micros = static_cast<int64_t>(price * 100) * 10'000;
    quote.event_time_us = kOpenUs + ++offset_;
    quote.previous_close_micros = 100 * kUnit;
    fold_.Apply(quote_, {offset_, offset_}, &outcome_);
  }

  void Create(int64_t number, const Definition& definition) {
    record::AlertChange change;
    change.alert_id = Uuid(number);
    change.symbol = "SYM" + std::to_string(number % symbols_);
    change.revision = 1;
    change.armed_revision = 1;
    change.definition = definition;
    fold_.Apply(change, {++offset_, offset_}, &outcome_);
    outcome_ = {};
  }

  void Delete(int64_t number) {
    record::AlertChange change;
    change.alert_id = Uuid(number);
    change.symbol = "SYM" + std::to_string(number % symbols_);
    change.revision = 2;
    change.deleted = true;
    fold_.Apply(change, {++offset_, offset_}, &outcome_);
    outcome_ = {};
  }

  Fold& fold() { return fold_; }
  const Outcome& outcome() const { return outcome_; }

 private:
  const int symbols_;
  Fold fold_;
  record::Event quote_ = record::Quote{};
  Outcome outcome_;
  int64_t offset_ = 0;
};

// Far from 100 to either side.
Definition TargetFor(int64_t number) {
  const int64_t away = 5 * kUnit + number * 7919 % 4'000 * 10'000;
  return number % 2 == 0 ? Of(condition::PriceTarget{condition::TargetOp::kAtOrAbove, 100 * kUnit + away})
                         : Of(condition::PriceTarget{condition::TargetOp::kAtOrBelow, 100 * kUnit - away});
}

Definition OfAnyKindFor(int64_t number) {
  const int64_t away = 5 + number * 7919 % 80;
  switch (number % 8) {
    case 0:
      return TargetFor(number);
    case 1:
      return Of(Crosses(100 + away));
    case 2:
      return Of(Percent(PercentOp::kEither, away, PercentReference::kArming));
    case 3:
      return Of(Percent(PercentOp::kUp, away, PercentReference::kPreviousClose));
    case 4:
      return Of(Percent(PercentOp::kEither, away, PercentReference::kWindow, 0, 3600 * kSecondUs));
    case 5:
      return Of(Falls(away));
    case 6:
      return Of(Leaves(100 - away, 100 + away));
    default:
      return Of(Enters(100 + away, 200 + away));
  }
}

template <typename Definitions>
double BytesPerAlert(int symbols, int alerts, const Definitions& definition_of) {
  Partition partition(symbols);
  const int64_t before = held_bytes;
  for (int i = 0; i < alerts; ++i) partition.Create(i, definition_of(i));
  REQUIRE(partition.fold().alert_count() == alerts);
  return static_cast<double>(held_bytes - before) / alerts;
}

TEST_CASE("an alert takes few bytes, on many symbols and on one") {
  CHECK(BytesPerAlert(1'000, 100'000, TargetFor) < 120);
  CHECK(BytesPerAlert(1, 100'000, TargetFor) < 120);
  CHECK(BytesPerAlert(1'000, 100'000, OfAnyKindFor) < 160);
  CHECK(BytesPerAlert(1, 100'000, OfAnyKindFor) < 150);
}

TEST_CASE("a deleted alert gives back all but its tombstone") {
  Partition partition(10);
  constexpr int kAlerts = 20'000;
  const int64_t before = held_bytes;
  for (int i = 0; i < kAlerts; ++i) partition.Create(i, OfAnyKindFor(i));
  for (int i = 0; i < kAlerts; ++i) partition.Delete(i);
  CHECK(partition.fold().alert_count() == 0);
  CHECK(static_cast<double>(held_bytes - before) / kAlerts < 110);
}

TEST_CASE("a quote that changes no alert allocates nothing") {
  Partition partition(3);
  for (int i = 0; i < 3'000; ++i) partition.Create(i, OfAnyKindFor(i));
  for (int i = 0; i < 200; ++i) partition.Quote(i % 3, 100 + i % 7 / 100.0);
  const int64_t before = allocations;
  for (int i = 0; i < 2'000; ++i) partition.Quote(i % 3, 100 + i % 7 / 100.0);
  CHECK(allocations == before);
  CHECK(partition.outcome().triggers.empty());
}

}  // namespace
}  // namespace stockalert::fold
