#include "services/fetcher/fetcher_service.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/mutex.h"
#include "services/common/base/status_macros.h"
#include "services/common/base/time_limits.h"
#include "services/domain/market/symbol.h"
#include "services/domain/market/trading_calendar.h"
#include "services/domain/record/definition_codec.h"
#include "services/domain/record/event.h"
#include "services/fetcher/quote_rules.h"

namespace stockalert::fetcher {
namespace {

namespace pb = ::stockalert::internal::v1;

constexpr int kFetchedMax = 100;
constexpr int kPublishedMax = 1000;
constexpr size_t kUserIdMax = 100;

// Hears the answers to many records; shared with the callbacks, which may come after the call has given up.
class Answers {
 public:
  explicit Answers(size_t expected) : left_(expected), places_(expected) {}

  void Record(size_t which, const absl::StatusOr<kafka::DeliveryReport>& delivery) {
    base::MutexLock lock(mutex_);
    if (delivery.ok()) {
      places_[which] = *delivery;
    } else if (first_error_.ok()) {
      first_error_ = delivery.status();
    }
    --left_;
    changed_.NotifyAll();
  }

  // Where the log has each.
  absl::StatusOr<std::vector<kafka::DeliveryReport>> Await(absl::Time deadline) {
    base::MutexLock lock(mutex_);
    if (!changed_.WaitFor(lock, deadline - absl::Now(),
                          [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return left_ == 0; })) {
      return base::Unavailable(
          "LOG_UNAVAILABLE", "the log has not acknowledged all records in time; some may be in it, publish them again");
    }
    if (first_error_.ok()) return places_;
    return base::Unavailable("LOG_UNAVAILABLE",
                             "the log did not take all records; some may be in it, publish them again");
  }

 private:
  base::Mutex mutex_;
  base::ConditionVariable changed_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
  std::vector<kafka::DeliveryReport> places_ ABSL_GUARDED_BY(mutex_);
  absl::Status first_error_ ABSL_GUARDED_BY(mutex_);
};

pb::LookupSymbolResponse::Knowledge Encode(Knowledge knowledge) {
  switch (knowledge) {
    case Knowledge::kKnown:
      return pb::LookupSymbolResponse::KNOWLEDGE_KNOWN;
    case Knowledge::kUnknown:
      return pb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN;
    case Knowledge::kNotInPlan:
      return pb::LookupSymbolResponse::KNOWLEDGE_NOT_IN_PLAN;
    case Knowledge::kNoList:
      return pb::LookupSymbolResponse::KNOWLEDGE_CANNOT_TELL;
    case Knowledge::kAskLater:
      return pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER;
  }
  return pb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER;
}

// What every reader of the log takes.
absl::Status CheckSplit(const pb::SplitRecord& split) {
  base::FieldViolations violations;
  violations.Check(market::IsNormalSymbol(split.symbol()), "split.symbol", market::kSymbolRule);
  violations.Check(base::IsUuid(split.split_id()), "split.split_id", "must be a UUID");
  violations.Check(split.number() >= 1, "split.number", "must be at least 1");
  violations.Check(record::IsSplitShares(split.numerator()), "split.numerator", "must be 1 to 1000000");
  violations.Check(record::IsSplitShares(split.denominator()), "split.denominator", "must be 1 to 1000000");
  violations.Check(split.numerator() != split.denominator(), "split.denominator", "must not be the numerator");
  violations.Check(split.effective_time_us() >= 0 && split.effective_time_us() <= base::kTimeUsMax,
                   "split.effective_time_us", "must be a time from 1970 on");
  return violations.ToStatus();
}

absl::Status StandsBy() {
  return base::Unavailable("FETCHER_NOT_READY",
                           "this fetcher has no epoch, or another one publishes; try again in a moment");
}

// `published`, but that room which does not come means a log that does not answer.
absl::Status NoRoomIsNoLog(absl::Status published, const char* so) {
  if (!absl::IsResourceExhausted(published)) return published;
  return base::Unavailable("LOG_UNAVAILABLE", absl::StrCat("the log does not acknowledge what it is sent; ", so));
}

}  // namespace

::grpc::ServerUnaryReactor* FetcherServiceHandler::LookupSymbol(::grpc::CallbackServerContext* context,
                                                                const pb::LookupSymbolRequest* request,
                                                                pb::LookupSymbolResponse* response) {
  return rpc::RunUnary(source_runner_, context,
                       {"stockalert.internal.v1.FetcherService/LookupSymbol", rpc::Access::kMesh}, request, response,
                       [this](const rpc::CallContext& call,
                              const pb::LookupSymbolRequest& asked) -> absl::StatusOr<pb::LookupSymbolResponse> {
                         if (!market::IsNormalSymbol(asked.symbol()))
                           return base::InvalidField("symbol", market::kSymbolRule);
                         if (asked.user_id().size() > kUserIdMax)
                           return base::InvalidField("user_id", "must have at most 100 characters");
                         pb::LookupSymbolResponse answer;
                         const LookedUp found = source_.Lookup(asked.symbol(), asked.user_id(), call.deadline);
                         answer.set_knowledge(Encode(found.knowledge));
                         answer.set_retry_after_ms(absl::ToInt64Milliseconds(found.retry_after));
                         return answer;
                       });
}

::grpc::ServerUnaryReactor* FetcherServiceHandler::FetchQuotes(::grpc::CallbackServerContext* context,
                                                               const pb::FetchQuotesRequest* request,
                                                               pb::FetchQuotesResponse* response) {
  return rpc::RunUnary(
      source_runner_, context, {"stockalert.internal.v1.FetcherService/FetchQuotes", rpc::Access::kMesh}, request,
      response,
      [this](const rpc::CallContext& call,
             const pb::FetchQuotesRequest& asked) -> absl::StatusOr<pb::FetchQuotesResponse> {
        base::FieldViolations violations;
        violations.Check(asked.user_id().size() <= kUserIdMax, "user_id", "must have at most 100 characters");
        violations.Check(asked.symbols_size() >= 1 && asked.symbols_size() <= kFetchedMax, "symbols",
                         "must be 1 to 100");
        for (int i = 0; i < asked.symbols_size() && i < kFetchedMax; ++i) {
          violations.Check(market::IsNormalSymbol(asked.symbols(i)), absl::StrCat("symbols[", i, "]"),
                           market::kSymbolRule);
        }
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        // No call is made whose price could not be published.
        if (!publisher_.has_epoch()) return StandsBy();
        STOCKALERT_ASSIGN_OR_RETURN(FetchedQuotes fetched,
                                    source_.Fetch({asked.symbols().begin(), asked.symbols().end()}, asked.user_id(),
                                                  call.trace, call.deadline));
        pb::FetchQuotesResponse answer;
        for (pb::QuoteRecord& quote : fetched.quotes) *answer.add_quotes() = std::move(quote);
        for (const SymbolProblem& found : fetched.problems) {
          pb::SymbolProblem& problem = *answer.add_problems();
          problem.set_symbol(found.symbol);
          problem.set_kind(found.not_in_plan ? pb::SymbolProblem::KIND_NOT_IN_PLAN : pb::SymbolProblem::KIND_NO_ANSWER);
          problem.set_retry_after_ms(absl::ToInt64Milliseconds(found.retry_after));
        }
        return answer;
      });
}

::grpc::ServerUnaryReactor* FetcherServiceHandler::PublishQuotes(::grpc::CallbackServerContext* context,
                                                                 const pb::PublishQuotesRequest* request,
                                                                 pb::PublishQuotesResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.FetcherService/PublishQuotes", rpc::Access::kMesh}, request, response,
      [this](const rpc::CallContext& call, const pb::PublishQuotesRequest& asked) { return Publish(call, asked); });
}

absl::StatusOr<pb::PublishQuotesResponse> FetcherServiceHandler::Publish(const rpc::CallContext& call,
                                                                         const pb::PublishQuotesRequest& request) {
  base::FieldViolations violations;
  if (!violations.Check(request.quotes_size() >= 1 && request.quotes_size() <= kPublishedMax, "quotes",
                        "must be 1 to 1000")) {
    return violations.ToStatus();
  }
  std::vector<pb::QuoteRecord> quotes(request.quotes().begin(), request.quotes().end());
  for (size_t i = 0; i < quotes.size(); ++i) {
    pb::QuoteRecord& quote = quotes[i];
    quote.set_source(kSourcePublished);
    if (quote.session() == pb::TRADING_SESSION_UNSPECIFIED)
      quote.set_session(
          record::EncodeSession(market::SessionOf(market::MarketOf(quote.symbol()), quote.event_time_us())));
    if (const auto refusal = FindRefusal(quote, clock_.NowUs())) {
      violations.Add(absl::StrCat("quotes[", i, "].", FieldOf(*refusal)), DescriptionOf(*refusal));
    }
  }
  STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
  if (publisher_.IsStalled()) {
    return base::Unavailable(
        "LOG_UNAVAILABLE",
        "the log does not acknowledge what it is sent; nothing was published, try again in a moment");
  }
  auto answers = std::make_shared<Answers>(quotes.size());
  const std::string traceparent = call.trace.Child().Traceparent();
  for (size_t i = 0; i < quotes.size(); ++i) {
    STOCKALERT_RETURN_IF_ERROR(NoRoomIsNoLog(
        publisher_.PublishOnceRoom(call.deadline,
                                   [&] {
                                     return publisher_.Publish(
                                         quotes[i], traceparent, {},
                                         [answers, i](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
                                           answers->Record(i, delivery);
                                         });
                                   }),
        "some of the quotes may be in it, publish them again"));
  }
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<kafka::DeliveryReport> places,
                              answers->Await(call.deadline - absl::Milliseconds(50)));
  pb::PublishQuotesResponse response;
  response.set_published_count(request.quotes_size());
  for (const kafka::DeliveryReport& place : places) {
    pb::LogPlace& answered = *response.add_places();
    answered.set_partition(place.partition);
    answered.set_offset(place.offset);
  }
  return response;
}

::grpc::ServerUnaryReactor* FetcherServiceHandler::PublishSplit(::grpc::CallbackServerContext* context,
                                                                const pb::PublishSplitRequest* request,
                                                                pb::PublishSplitResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.FetcherService/PublishSplit", rpc::Access::kMesh}, request, response,
      [this](const rpc::CallContext& call,
             const pb::PublishSplitRequest& asked) -> absl::StatusOr<pb::PublishSplitResponse> {
        STOCKALERT_RETURN_IF_ERROR(CheckSplit(asked.split()));
        if (publisher_.IsStalled()) {
          return base::Unavailable(
              "LOG_UNAVAILABLE",
              "the log does not acknowledge what it is sent; the split was not published, try again in a moment");
        }
        auto answers = std::make_shared<Answers>(1);
        STOCKALERT_RETURN_IF_ERROR(NoRoomIsNoLog(
            publisher_.PublishOnceRoom(call.deadline - absl::Milliseconds(50),
                                       [&] {
                                         return publisher_.PublishSplit(
                                             asked.split(), call.trace.Child().Traceparent(),
                                             [answers](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
                                               answers->Record(0, delivery);
                                             });
                                       }),
            "nothing was published, try again in a moment"));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<kafka::DeliveryReport> places,
                                    answers->Await(call.deadline - absl::Milliseconds(50)));
        pb::PublishSplitResponse answer;
        answer.mutable_place()->set_partition(places.front().partition);
        answer.mutable_place()->set_offset(places.front().offset);
        return answer;
      });
}

::grpc::ServerUnaryReactor* FetcherServiceHandler::PublishHold(::grpc::CallbackServerContext* context,
                                                               const pb::PublishHoldRequest* request,
                                                               pb::PublishHoldResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.FetcherService/PublishHold", rpc::Access::kMesh}, request, response,
      [this](const rpc::CallContext& call,
             const pb::PublishHoldRequest& asked) -> absl::StatusOr<pb::PublishHoldResponse> {
        base::FieldViolations violations;
        violations.Check(market::IsNormalSymbol(asked.symbol()), "symbol", market::kSymbolRule);
        violations.Check(asked.kind() == pb::PublishHoldRequest::KIND_SUSPECTED ||
                             asked.kind() == pb::PublishHoldRequest::KIND_DISMISSED,
                         "kind", "must be KIND_SUSPECTED or KIND_DISMISSED");
        STOCKALERT_RETURN_IF_ERROR(violations.ToStatus());
        if (publisher_.IsStalled()) {
          return base::Unavailable(
              "LOG_UNAVAILABLE",
              "the log does not acknowledge what it is sent; nothing was published, try again in a moment");
        }
        auto answers = std::make_shared<Answers>(1);
        const auto publish = asked.kind() == pb::PublishHoldRequest::KIND_SUSPECTED ? &Publisher::PublishSuspicion
                                                                                    : &Publisher::PublishDismissal;
        const absl::Time give_up = call.deadline - absl::Milliseconds(50);
        STOCKALERT_RETURN_IF_ERROR(NoRoomIsNoLog(
            publisher_.PublishOnceRoom(give_up,
                                       [&] {
                                         return (publisher_.*publish)(
                                             asked.symbol(), call.trace.Child().Traceparent(), give_up,
                                             [answers](const absl::StatusOr<kafka::DeliveryReport>& delivery) {
                                               answers->Record(0, delivery);
                                             });
                                       }),
            "nothing was published, try again in a moment"));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<kafka::DeliveryReport> places, answers->Await(give_up));
        pb::PublishHoldResponse answer;
        answer.mutable_place()->set_partition(places.front().partition);
        answer.mutable_place()->set_offset(places.front().offset);
        return answer;
      });
}

}  // namespace stockalert::fetcher
