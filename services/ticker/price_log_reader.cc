#include "services/ticker/price_log_reader.h"

#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

#include "services/common/base/backoff.h"
#include "services/common/base/failure_kind.h"
#include "services/common/base/status_macros.h"
#include "services/common/base/text.h"
#include "services/common/base/time_limits.h"
#include "services/common/kafka/topic_admin.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/domain/record/log_record.h"

namespace stockalert::ticker {
namespace {

constexpr absl::Duration kBrokerTimeout = absl::Seconds(3);
constexpr absl::Duration kPollTimeout = absl::Milliseconds(200);
constexpr size_t kMessagesMax = 1000;
constexpr size_t kSourceBytesMax = 64;
constexpr size_t kSplitIdBytesMax = 64;
constexpr absl::Duration kRoomInterval = absl::Milliseconds(20);

prometheus::Counter& Records(const std::string& kind) {
  return metrics::GetCounter("stockalert_ticker_log_records_total", "Records of the log of prices, by what they were",
                             {{"kind", kind}});
}

void Count(const ApplyCounts& counts) {
  static auto& accepted = Records("quote_accepted");
  static auto& refused = Records("quote_refused");
  static auto& repeated = Records("quote_repeated");
  static auto& late = Records("quote_late");
  static auto& restarts = Records("restart");
  static auto& splits = Records("split");
  static auto& held = Records("quote_held");
  static auto& suspicions = Records("split_suspected");
  static auto& dismissals = Records("split_dismissed");
  static auto& dropped = metrics::GetCounter("stockalert_ticker_held_bars_dropped_total",
                                             "Minutes of held tickers without a bar, for too many were kept");
  accepted.Increment(static_cast<double>(counts.accepted));
  refused.Increment(static_cast<double>(counts.refused));
  repeated.Increment(static_cast<double>(counts.repeated));
  late.Increment(static_cast<double>(counts.late));
  restarts.Increment(static_cast<double>(counts.restarts));
  splits.Increment(static_cast<double>(counts.splits));
  held.Increment(static_cast<double>(counts.held));
  suspicions.Increment(static_cast<double>(counts.suspicions));
  dismissals.Increment(static_cast<double>(counts.dismissals));
  dropped.Increment(static_cast<double>(counts.bars_dropped));
  static log::Limiter limiter(absl::Minutes(1));
  if (counts.bars_dropped == 0) return;
  if (const auto suppressed = limiter.Allow()) {
    log::Error("a held ticker has too many minutes of prices: later ones will have no bar; settle the hold",
               {{"minutes_max", PriceBoard::kHeldBarsMax}, {"suppressed", *suppressed}});
  }
}

// Who changes prices that people see says so.
void LogHolds(const std::vector<BoardRecord>& entries, const ApplyCounts& counts) {
  if (counts.suspicions == 0 && counts.dismissals == 0) return;
  for (const BoardRecord& entry : entries) {
    if (entry.kind == BoardRecord::Kind::kSuspected) {
      log::Warning(
          "a split is suspected: the prices of the ticker stand still until it is declared or dismissed (stockalert "
          "ticker split, or dismiss)",
          {{"symbol", entry.suspected.symbol}, {"offset", entry.place.offset}});
    } else if (entry.kind == BoardRecord::Kind::kDismissed) {
      log::Info("a suspected split was dismissed",
                {{"symbol", entry.dismissed.symbol}, {"offset", entry.place.offset}});
    }
  }
}

void MeasureHolds(const PriceBoard& board) {
  static auto& gauge = metrics::GetGauge("stockalert_ticker_held_tickers",
                                         "Tickers whose prices stand still, because a split of them is suspected");
  gauge.Set(static_cast<double>(board.held_symbols()));
}

size_t CountBars(const KeptPrices& prices) {
  size_t count = 0;
  for (const SymbolBars& one : prices.bars) count += one.bars.size();
  return count;
}

// The prices as a quote of the log: for people to look at.
dead_letter::DeadLetter LetterOf(const std::string& topic, const SymbolPrices& prices, const std::string& cause) {
  dead_letter::DeadLetter letter;
  letter.place = {topic, prices.partition};
  letter.offset = prices.offset;
  letter.key = prices.symbol;
  letter.cause = cause;
  internal::v1::LogRecord record;
  if (prices.latest.has_value()) *record.mutable_quote() = *prices.latest;
  record.mutable_quote()->set_symbol(prices.symbol);
  record.mutable_quote()->set_publisher_epoch(prices.publisher_epoch);
  record.mutable_quote()->set_sequence(prices.sequence);
  letter.value = record.SerializeAsString();
  return letter;
}

}  // namespace

BoardRecord ToBoardRecord(std::string_view key, std::string_view value, LogPlace place, int64_t log_time_us) {
  static auto& malformed = Records("malformed");
  BoardRecord entry;
  entry.place = place;
  entry.log_time_us = log_time_us;
  record::ReadRecord read = record::ReadLogRecord(key, value);
  if (read.soundness != record::Soundness::kSound) {
    malformed.Increment();
    static log::Limiter limiter(absl::Seconds(10));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("a record of the log cannot be understood and is passed over: was it written by a newer version?",
                   {{"problem", read.problem},
                    {"partition", place.partition},
                    {"offset", place.offset},
                    {"suppressed", *suppressed}});
    }
    return entry;
  }
  if (read.record.has_quote()) {
    entry.kind = BoardRecord::Kind::kQuote;
    entry.quote = std::move(*read.record.mutable_quote());
    // It only tells people something; the evaluator counts such a quote, so it counts here, too.
    if (std::string source = base::StorableText(entry.quote.source(), kSourceBytesMax);
        source != entry.quote.source()) {
      static auto& mended = Records("source_mended");
      mended.Increment();
      entry.quote.set_source(std::move(source));
    }
  } else if (read.record.has_restart()) {
    entry.kind = BoardRecord::Kind::kRestart;
    entry.symbol = read.record.restart().symbol();
  } else if (read.record.has_split()) {
    entry.kind = BoardRecord::Kind::kSplit;
    entry.split = std::get<record::Split>(std::move(read.event));
    // These are only shown.
    entry.split.split_id = base::StorableText(entry.split.split_id, kSplitIdBytesMax);
    if (entry.split.effective_time_us < 0 || entry.split.effective_time_us > base::kTimeUsMax)
      entry.split.effective_time_us = 0;
  } else if (read.record.has_split_suspected()) {
    entry.kind = BoardRecord::Kind::kSuspected;
    entry.suspected = std::get<record::SplitSuspected>(std::move(read.event));
  } else if (read.record.has_split_dismissed()) {
    entry.kind = BoardRecord::Kind::kDismissed;
    entry.dismissed = std::get<record::SplitDismissed>(std::move(read.event));
  }
  return entry;
}

SaveOutcome SavePrices(const std::string& topic, const KeptPrices& unsaved, PriceStore& store,
                       dead_letter::DeadLetterStore& dead_letters, int64_t now_us) {
  SaveOutcome outcome;
  outcome.status = store.Save(unsaved);
  if (outcome.status.ok()) return outcome;
  outcome.again = unsaved;
  if (base::FailureKindOf(outcome.status) == base::FailureKind::kPassing || unsaved.symbols.empty()) return outcome;
  std::unordered_map<std::string_view, const SymbolBars*> bars;
  for (const SymbolBars& one : unsaved.bars) bars[one.symbol] = &one;
  const auto add = [&bars, &unsaved](const SymbolPrices& prices, KeptPrices& to) {
    to.symbols.push_back(prices);
    if (const auto found = bars.find(prices.symbol); found != bars.end()) to.bars.push_back(*found->second);
    for (const LoggedSplit& one : unsaved.splits) {
      if (one.split.symbol == prices.symbol) to.splits.push_back(one);
    }
  };
  const auto save = [&](const std::vector<size_t>& indices) {
    KeptPrices some;
    for (const size_t index : indices) add(unsaved.symbols[index], some);
    return store.Save(some);
  };
  std::vector<dead_letter::DeadLetter> letters;
  const auto keep = [&](const std::vector<dead_letter::Refused>& refused) {
    letters.clear();
    for (const dead_letter::Refused& one : refused)
      letters.push_back(LetterOf(topic, unsaved.symbols[one.index], one.cause));
    return dead_letters.Add(letters, now_us);
  };
  std::vector<dead_letter::Item> items;
  for (const SymbolPrices& prices : unsaved.symbols) {
    items.push_back({{topic, prices.partition}, prices.offset, dead_letter::Item::Disposition::kApply, ""});
  }
  const absl::StatusOr<dead_letter::Settled> settled = dead_letter::Settle(items, {save, keep});
  if (!settled.ok()) {
    outcome.status = settled.status();
    return outcome;
  }
  if (settled->dead_letters > 0) outcome.letters = std::move(letters);
  // The places move on but for those of partitions that are held.
  KeptPrices places;
  outcome.again = KeptPrices();
  const auto is_held = [&](int32_t partition) { return settled->held.contains({topic, partition}); };
  for (const auto& [partition, next_offset] : unsaved.next_offsets) {
    (is_held(partition) ? outcome.again : places).next_offsets[partition] = next_offset;
  }
  for (const SymbolPrices& prices : unsaved.symbols) {
    if (is_held(prices.partition)) add(prices, outcome.again);
  }
  const absl::Status saved = store.Save(places);
  if (!saved.ok()) {
    // The prices are there; reading them again changes nothing.
    outcome.again.next_offsets = unsaved.next_offsets;
    outcome.status = saved;
  } else if (settled->held.empty()) {
    outcome.status = absl::OkStatus();
  }
  return outcome;
}

PriceLogReader::PriceLogReader(const PriceLogReaderOptions& options, PriceBoard& board, PriceStore& store,
                               dead_letter::DeadLetterStore& dead_letters, const base::Clock& clock)
    : options_(options),
      board_(board),
      store_(store),
      dead_letters_(dead_letters),
      clock_(clock),
      open_letters_(dead_letters),
      saves_("ticker_price_saver", process::Liveness::kBound + options.save_interval),
      reading_([this] { Read(); }),
      saving_([this] { SaveRegularly(); }) {}

PriceLogReader::~PriceLogReader() { Stop(); }

void PriceLogReader::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (reading_.joinable()) reading_.join();
  reads_.End();
  if (saving_.joinable()) saving_.join();
  saves_.End();
}

bool PriceLogReader::stopping() {
  base::MutexLock lock(mutex_);
  return stopping_;
}

bool PriceLogReader::Wait(absl::Duration duration) {
  base::MutexLock lock(mutex_);
  changed_.WaitFor(lock, duration, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
  return !stopping_;
}

void PriceLogReader::Read() {
  static auto& failures = metrics::GetCounter("stockalert_ticker_log_reader_failures_total",
                                              "Times that reading the log had to begin anew");
  base::Backoff backoff({.initial = absl::Milliseconds(100), .maximum = absl::Seconds(2)});
  while (!stopping()) {
    reads_.Beat();
    const absl::Status status = ReadUntilError();
    if (status.ok()) return;
    failures.Increment();
    static log::Limiter limiter(absl::Seconds(5));
    if (const auto suppressed = limiter.Allow()) {
      log::Warning("the log of prices cannot be read now; latest prices stand still, and it is tried again",
                   {{"status", status}, {"suppressed", *suppressed}});
    }
    if (std::exchange(progress_, false)) backoff.Reset();
    if (!Wait(backoff.Next())) return;
  }
}

absl::Status PriceLogReader::Prepare() {
  if (!loaded_) {
    STOCKALERT_ASSIGN_OR_RETURN(const KeptPrices kept, store_.Load());
    board_.Load(kept);
    MeasureHolds(board_);
    next_offsets_ = kept.next_offsets;
    loaded_ = true;
    log::Info("latest prices are loaded", {{"symbols", kept.symbols.size()}, {"partitions", kept.next_offsets.size()}});
  }
  reads_.Beat();
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::TopicAdmin> admin,
                              kafka::TopicAdmin::Create({.bootstrap = options_.bootstrap,
                                                         .security = options_.security,
                                                         .client_id = "stockalert-ticker",
                                                         .extra = {}}));
  STOCKALERT_ASSIGN_OR_RETURN(const std::string cluster_id, admin->ClusterId(kBrokerTimeout));
  base::MutexLock lock(save_mutex_);
  STOCKALERT_ASSIGN_OR_RETURN(const bool another, store_.AdoptLog(cluster_id));
  if (another) {
    log::Warning("this is another Kafka cluster than before: its log is read from the beginning",
                 {{"cluster", cluster_id}});
    board_.ForgetAllPlaces();
    next_offsets_.clear();
  }
  return absl::OkStatus();
}

absl::Status PriceLogReader::ReadUntilError() {
  STOCKALERT_RETURN_IF_ERROR(Prepare());
  reads_.Beat();
  STOCKALERT_ASSIGN_OR_RETURN(std::unique_ptr<kafka::AssignedConsumer> consumer,
                              kafka::AssignedConsumer::Create({.bootstrap = options_.bootstrap,
                                                               .security = options_.security,
                                                               .client_id = "stockalert-ticker",
                                                               .extra = {},
                                                               .registry = metrics::Registry()}));
  STOCKALERT_ASSIGN_OR_RETURN(const int partitions, consumer->CountPartitions(options_.topic, kBrokerTimeout));
  std::map<kafka::TopicPartition, int64_t> places;
  std::map<int32_t, int64_t> begin;
  for (int partition = 0; partition < partitions; ++partition) {
    const auto known = next_offsets_.find(partition);
    places[{options_.topic, partition}] = known == next_offsets_.end() ? kafka::kBeginning : known->second;
    begin[partition] = known == next_offsets_.end() ? 0 : known->second;
  }
  board_.BeginReading(begin);
  STOCKALERT_RETURN_IF_ERROR(consumer->Assign(places));
  log::Info("reading the log of prices", {{"topic", options_.topic}, {"partitions", partitions}});
  while (!stopping()) {
    reads_.Beat();
    if (!AwaitRoomForBars()) break;
    const kafka::PollResult polled = consumer->Poll(kPollTimeout, kMessagesMax);
    if (!polled.messages.empty()) {
      std::vector<BoardRecord> entries;
      entries.reserve(polled.messages.size());
      for (const kafka::Message& message : polled.messages) {
        entries.push_back(ToBoardRecord(message.key(), message.value(), {message.partition(), message.offset()},
                                        message.log_time_us()));
        next_offsets_[message.partition()] = message.offset() + 1;
      }
      const ApplyCounts counts = board_.Apply(entries);
      Count(counts);
      LogHolds(entries, counts);
      MeasureHolds(board_);
      progress_ = true;
    }
    for (const kafka::TopicPartition& end : polled.ends) {
      board_.MarkAtEnd(end.partition);
      progress_ = true;
    }
    for (const kafka::PartitionError& error : polled.errors) {
      reads_.Beat();
      if (!absl::IsOutOfRange(error.status)) return error.status;
      log::Warning(
          "the log does not have the place where reading was to go on; the partition is read from its beginning",
          {{"partition", error.partition.partition}});
      base::MutexLock lock(save_mutex_);
      STOCKALERT_RETURN_IF_ERROR(store_.ForgetPlaces(error.partition.partition));
      board_.ForgetPlaces(error.partition.partition);
      next_offsets_.erase(error.partition.partition);
    }
    if (!polled.errors.empty()) return absl::UnavailableError("partitions are read from their beginning");
    STOCKALERT_RETURN_IF_ERROR(polled.fatal);
  }
  return absl::OkStatus();
}

bool PriceLogReader::AwaitRoomForBars() {
  if (board_.unsaved_bars() < options_.unsaved_bars_max) return true;
  static log::Limiter limiter(absl::Seconds(10));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("too many bars are unsaved: the log is read on once the database has taken them",
                 {{"bars", board_.unsaved_bars()}, {"suppressed", *suppressed}});
  }
  while (board_.unsaved_bars() >= options_.unsaved_bars_max) {
    reads_.Beat();
    if (!Wait(kRoomInterval)) return false;
  }
  return true;
}

void PriceLogReader::SaveRegularly() {
  saves_.Beat();
  dead_letter::CountDeadLetters(options_.topic, 0);
  while (Wait(options_.save_interval)) {
    saves_.Beat();
    SaveOnce();
    open_letters_.Measure(absl::Now());
  }
  // What was read until Stop; the reading thread has been joined by then, or is about to end and its last batch is read
  // again.
  SaveOnce();
}

void PriceLogReader::SaveOnce() {
  static auto& failures = metrics::GetCounter("stockalert_ticker_price_save_failures_total",
                                              "Times that the latest prices and bars could not be saved");
  base::MutexLock lock(save_mutex_);
  static auto& saved_bars = metrics::GetCounter("stockalert_ticker_bars_saved_total",
                                                "Bars that were saved; one that changes is saved again");
  static auto& unsaved_bars = metrics::GetGauge("stockalert_ticker_unsaved_bars", "Bars that are not saved yet");
  const KeptPrices unsaved = board_.TakeUnsaved();
  if (unsaved.symbols.empty() && unsaved.next_offsets.empty()) return;
  const SaveOutcome outcome = SavePrices(options_.topic, unsaved, store_, dead_letters_, clock_.NowUs());
  for (const dead_letter::DeadLetter& letter : outcome.letters) {
    dead_letter::ReportDeadLetter(letter);
    open_letters_.MeasureSoon();
  }
  board_.PutBackUnsaved(outcome.again);
  saved_bars.Increment(static_cast<double>(CountBars(unsaved) - CountBars(outcome.again)));
  unsaved_bars.Set(static_cast<double>(board_.unsaved_bars()));
  if (outcome.status.ok()) {
    held_.MarkUnblocked();
    return;
  }
  held_.MarkBlocked();
  failures.Increment();
  static log::Limiter limiter(absl::Seconds(5));
  if (const auto suppressed = limiter.Allow()) {
    log::Warning("the latest prices are not saved; the next try saves them all",
                 {{"status", outcome.status}, {"suppressed", *suppressed}});
  }
}

}  // namespace stockalert::ticker
