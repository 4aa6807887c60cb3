// Where registered tickers are kept.
//
// Thread-safe; calls block, bounded by the store's own timeouts. Every error is one of base/error.h: UNAVAILABLE
// (DATABASE_UNAVAILABLE) where the database does not answer, and what each call says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stockalert::ticker {

inline constexpr char kReasonTickerNotFound[] = "TICKER_NOT_FOUND";
inline constexpr char kReasonTickerInUse[] = "TICKER_IN_USE";
inline constexpr char kReasonTickerBeingDeleted[] = "TICKER_BEING_DELETED";
inline constexpr char kReasonTickerQuota[] = "TICKER_QUOTA";
inline constexpr char kReasonPublisherChanged[] = "PUBLISHER_CHANGED";

struct TickerRow {
  std::string symbol;
  int64_t create_time_us = 0;
  bool operator==(const TickerRow&) const = default;
};

struct SymbolList {
  int64_t version = 0;
  bool unchanged = false;
  std::vector<std::string> symbols;  // By symbol; empty where unchanged.
  bool more = false;                 // There are others behind the last one.
};

// Which publisher may publish: the one with the highest epoch given; and whether it is alive.
struct PublisherLeaseRow {
  int64_t highest_epoch = 0;
  int64_t renewals = 0;  // Rises while it is.
  bool released = false;
};

class TickerStore {
 public:
  virtual ~TickerStore() = default;

  // Those of `symbols` that are registered, by symbol.
  virtual absl::StatusOr<std::vector<TickerRow>> Find(const std::vector<std::string>& symbols) = 0;

  // Registers what is not registered yet, and holds all of them until `hold_until_us` where that is later than the hold
  // that they have (0: no hold). All or none. Answers all, by symbol. `symbols` are in their normal form, without
  // repeats. Those that are new are `user`'s, a UUID, or nobody's where it is empty. UNAVAILABLE
  // (TICKER_BEING_DELETED): one of them is marked by MarkDeleting, and the mark has not run out by `now_us`.
  virtual absl::StatusOr<std::vector<TickerRow>> Register(const std::vector<std::string>& symbols, int64_t now_us,
                                                          int64_t hold_until_us, const std::string& user) = 0;

  // At most `limit` that the user registered and that were never seen in use, the oldest first.
  virtual absl::StatusOr<std::vector<std::string>> FindUnused(const std::string& user, int limit) = 0;
  // Those of the user's registered after `after_us`.
  virtual absl::StatusOr<int64_t> CountRegistered(const std::string& user, int64_t after_us) = 0;
  // At most `limit` that were registered by `before_us`, are not held at `now_us`, and whose use was not checked since
  // `before_us`; those checked longest ago first.
  virtual absl::StatusOr<std::vector<std::string>> FindDueForUseCheck(int64_t before_us, int64_t now_us, int limit) = 0;
  // Their use was checked; `used`: they are in use.
  virtual absl::Status MarkUseChecked(const std::vector<std::string>& symbols, bool used, int64_t now_us) = 0;

  // At most `limit` with a symbol after `after`, by symbol.
  virtual absl::StatusOr<std::vector<TickerRow>> List(const std::string& after, int limit) = 0;

  // Blocks new registrations until Unmark, DeleteMarked, or `until_us`. `token` is a UUID that nobody else uses.
  // NOT_FOUND (TICKER_NOT_FOUND); FAILED_PRECONDITION (TICKER_IN_USE): it is held; ABORTED (TICKER_BEING_DELETED):
  // marked by another.
  virtual absl::Status MarkDeleting(const std::string& symbol, const std::string& token, int64_t now_us,
                                    int64_t until_us) = 0;
  // Removes the mark if it is still this one.
  virtual absl::Status Unmark(const std::string& symbol, const std::string& token) = 0;
  // Deletes the ticker if it still has this mark: registering it after the mark expired removes the mark. False: it
  // does not have it.
  virtual absl::StatusOr<bool> DeleteMarked(const std::string& symbol, const std::string& token) = 0;

  // At most `limit` symbols after `after`; none if `after` is empty and the set's version is `known_version`. The
  // version returned is not newer than the symbols, so that a caller who passes it next time misses no change.
  virtual absl::StatusOr<SymbolList> ListSymbols(int64_t known_version, const std::string& after, int limit) = 0;
  virtual absl::StatusOr<int64_t> CountTickers() = 0;

  // A new epoch: above every one given before, and above `above`. Numbers may be skipped.
  // ABORTED (PUBLISHER_CHANGED): `if_highest_is` is not 0, and not the highest one.
  virtual absl::StatusOr<int64_t> NextPublisherEpoch(int64_t above, int64_t if_highest_is) = 0;
  // Renews the publisher's lease if `epoch` is the highest one; with `release` ends it.
  virtual absl::StatusOr<PublisherLeaseRow> RenewPublisher(int64_t epoch, bool release) = 0;
};

}  // namespace stockalert::ticker
