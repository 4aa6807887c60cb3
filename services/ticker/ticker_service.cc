#include "services/ticker/ticker_service.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/page_token.h"
#include "services/common/grpc/resource_name.h"
#include "services/common/grpc/time_convert.h"
#include "services/domain/market/symbol.h"
#include "services/ticker/bar_convert.h"
#include "services/ticker/conflating_watcher.h"
#include "services/ticker/quote_convert.h"
#include "services/ticker/split_convert.h"

namespace stockalert::ticker {
namespace {

using rpc::Access;
using rpc::CallContext;
using rpc::Work;

constexpr char kTickerName[] = "tickers/{symbol}";
// Responses that may wait for a client that reads slowly, before its quotes are conflated.
constexpr size_t kWatchQueueMax = 8;

v1::Ticker ToTicker(const TickerView& view) {
  v1::Ticker ticker;
  ticker.set_name(rpc::FormatName(kTickerName, {view.ticker.symbol}));
  ticker.set_symbol(view.ticker.symbol);
  *ticker.mutable_create_time() = rpc::TimestampFromUs(view.ticker.create_time_us);
  if (view.prices.latest.has_value()) *ticker.mutable_latest_quote() = ToQuote(*view.prices.latest);
  if (view.prices.hold.has_value()) {
    *ticker.mutable_hold()->mutable_start_time() = rpc::TimestampFromUs(view.prices.hold->start_time_us);
    ticker.mutable_hold()->set_kept_quote_count(view.prices.hold->kept_quotes);
  }
  return ticker;
}

// The symbol of "tickers/aapl", in its normal form.
absl::StatusOr<std::string> SymbolOf(const std::string& name, const std::string& field) {
  STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> segments, rpc::ParseName(kTickerName, name, field));
  std::optional<std::string> symbol = market::NormalizeSymbol(segments[0]);
  if (!symbol) return base::InvalidField(field, absl::StrCat("its symbol ", market::kSymbolRule));
  return *std::move(symbol);
}

absl::StatusOr<std::vector<std::string>> SymbolsOf(const google::protobuf::RepeatedPtrField<std::string>& names) {
  if (names.empty() || static_cast<size_t>(names.size()) > kBatchSymbolsMax) {
    return base::InvalidField("names", absl::StrCat("must be 1 to ", kBatchSymbolsMax, " names"));
  }
  base::FieldViolations violations;
  std::vector<std::string> symbols;
  for (int i = 0; i < names.size(); ++i) {
    absl::StatusOr<std::string> symbol = SymbolOf(names[i], absl::StrCat("names[", i, "]"));
    if (symbol.ok()) {
      symbols.push_back(*std::move(symbol));
    } else {
      violations.Merge(symbol.status());
    }
  }
  if (!violations.ok()) return violations.ToStatus();
  return symbols;
}

}  // namespace

grpc::ServerUnaryReactor* TickerServiceImpl::RegisterTicker(grpc::CallbackServerContext* context,
                                                            const v1::RegisterTickerRequest* request,
                                                            v1::Ticker* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/RegisterTicker", Access::kWrite, Work::kOthers}, request,
      response, [this](const CallContext& call, const v1::RegisterTickerRequest& asked) -> absl::StatusOr<v1::Ticker> {
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<TickerView> views,
            logic_.Register({asked.symbol()}, {"symbol"}, 0, call.caller.user_id, call.trace, call.deadline));
        return ToTicker(views.front());
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::BatchRegisterTickers(grpc::CallbackServerContext* context,
                                                                  const v1::BatchRegisterTickersRequest* request,
                                                                  v1::BatchRegisterTickersResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/BatchRegisterTickers", Access::kWrite, Work::kOthers},
      request, response,
      [this](const CallContext& call,
             const v1::BatchRegisterTickersRequest& asked) -> absl::StatusOr<v1::BatchRegisterTickersResponse> {
        if (asked.symbols().empty() || static_cast<size_t>(asked.symbols_size()) > kBatchSymbolsMax) {
          return base::InvalidField("symbols", absl::StrCat("must be 1 to ", kBatchSymbolsMax, " symbols"));
        }
        std::vector<std::string> fields;
        fields.reserve(static_cast<size_t>(asked.symbols_size()));
        for (int i = 0; i < asked.symbols_size(); ++i) fields.push_back(absl::StrCat("symbols[", i, "]"));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<TickerView> views,
                                    logic_.Register({asked.symbols().begin(), asked.symbols().end()}, fields, 0,
                                                    call.caller.user_id, call.trace, call.deadline));
        v1::BatchRegisterTickersResponse answer;
        for (const TickerView& view : views) *answer.add_tickers() = ToTicker(view);
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::GetTicker(grpc::CallbackServerContext* context,
                                                       const v1::GetTickerRequest* request, v1::Ticker* response) {
  return rpc::RunUnary(runner_, context, {"stockalert.ticker.v1.TickerService/GetTicker", Access::kRead}, request,
                       response,
                       [this](const CallContext&, const v1::GetTickerRequest& asked) -> absl::StatusOr<v1::Ticker> {
                         STOCKALERT_ASSIGN_OR_RETURN(const std::string symbol, SymbolOf(asked.name(), "name"));
                         STOCKALERT_ASSIGN_OR_RETURN(const TickerView view, logic_.Get(symbol));
                         return ToTicker(view);
                       });
}

grpc::ServerUnaryReactor* TickerServiceImpl::ListTickers(grpc::CallbackServerContext* context,
                                                         const v1::ListTickersRequest* request,
                                                         v1::ListTickersResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/ListTickers", Access::kRead}, request, response,
      [this](const CallContext&, const v1::ListTickersRequest& asked) -> absl::StatusOr<v1::ListTickersResponse> {
        const std::string scope = rpc::PageScope("ListTickers", "");
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                                    rpc::DecodePageToken(scope, asked.page_token(), 1));
        // One more than the page shows whether there is a next one.
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<TickerView> views,
                                    logic_.List(place.empty() ? "" : place[0], page_size + 1));
        v1::ListTickersResponse answer;
        if (views.size() > static_cast<size_t>(page_size)) {
          views.pop_back();
          answer.set_next_page_token(rpc::EncodePageToken(scope, {views.back().ticker.symbol}));
        }
        for (const TickerView& view : views) *answer.add_tickers() = ToTicker(view);
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::DeleteTicker(grpc::CallbackServerContext* context,
                                                          const v1::DeleteTickerRequest* request,
                                                          google::protobuf::Empty* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/DeleteTicker", Access::kAdministrator, Work::kOthers},
      request, response,
      [this](const CallContext& call, const v1::DeleteTickerRequest& asked) -> absl::StatusOr<google::protobuf::Empty> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string symbol, SymbolOf(asked.name(), "name"));
        STOCKALERT_RETURN_IF_ERROR(logic_.Delete(symbol, call.trace, call.deadline));
        return google::protobuf::Empty();
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::GetQuote(grpc::CallbackServerContext* context,
                                                      const v1::GetQuoteRequest* request, quote::v1::Quote* response) {
  return rpc::RunUnary(
      source_runner_, context, {"stockalert.ticker.v1.TickerService/GetQuote", Access::kRead}, request, response,
      [this](const CallContext& call, const v1::GetQuoteRequest& asked) -> absl::StatusOr<quote::v1::Quote> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string symbol, SymbolOf(asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const Quotes found,
                                    logic_.GetQuotes({symbol}, call.caller, call.trace, call.deadline));
        if (found.quotes.empty()) {
          if (!found.problems.empty()) return ToStatus(found.problems.front());
          return base::NotFound("NO_QUOTE_YET",
                                absl::StrCat("there is no price of ", symbol, " so far: try again later"),
                                {{"symbol", symbol}});
        }
        return ToQuote(found.quotes.front());
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::BatchGetQuotes(grpc::CallbackServerContext* context,
                                                            const v1::BatchGetQuotesRequest* request,
                                                            v1::BatchGetQuotesResponse* response) {
  return rpc::RunUnary(source_runner_, context, {"stockalert.ticker.v1.TickerService/BatchGetQuotes", Access::kRead},
                       request, response,
                       [this](const CallContext& call,
                              const v1::BatchGetQuotesRequest& asked) -> absl::StatusOr<v1::BatchGetQuotesResponse> {
                         STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> symbols, SymbolsOf(asked.names()));
                         STOCKALERT_ASSIGN_OR_RETURN(const Quotes found,
                                                     logic_.GetQuotes(symbols, call.caller, call.trace, call.deadline));
                         v1::BatchGetQuotesResponse answer;
                         for (const internal::v1::QuoteRecord& quote : found.quotes)
                           *answer.add_quotes() = ToQuote(quote);
                         return answer;
                       });
}

grpc::ServerUnaryReactor* TickerServiceImpl::PublishQuotes(grpc::CallbackServerContext* context,
                                                           const v1::PublishQuotesRequest* request,
                                                           v1::PublishQuotesResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/PublishQuotes", Access::kAdministrator, Work::kOthers},
      request, response,
      [this](const CallContext& call,
             const v1::PublishQuotesRequest& asked) -> absl::StatusOr<v1::PublishQuotesResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const auto records, FromQuotes(asked.quotes(), clock_.NowUs()));
        STOCKALERT_ASSIGN_OR_RETURN(const auto outcomes, logic_.Publish(records, call.trace, call.deadline));
        v1::PublishQuotesResponse answer;
        answer.set_published_count(static_cast<int32_t>(outcomes.size()));
        for (const std::optional<QuoteOutcome>& outcome : outcomes) *answer.add_outcomes() = ToQuoteOutcome(outcome);
        return answer;
      });
}

grpc::ServerWriteReactor<v1::WatchQuotesResponse>* TickerServiceImpl::WatchQuotes(
    grpc::CallbackServerContext* context, const v1::WatchQuotesRequest* request) {
  using Stream = rpc::Stream<v1::WatchQuotesResponse>;
  return rpc::RunServerStream<v1::WatchQuotesRequest, v1::WatchQuotesResponse>(
      runner_, context, {"stockalert.ticker.v1.TickerService/WatchQuotes", Access::kRead}, request, kWatchQueueMax,
      [this](const CallContext&, const v1::WatchQuotesRequest& asked,
             const std::shared_ptr<Stream>& stream) -> absl::Status {
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<std::string> symbols, SymbolsOf(asked.names()));
        STOCKALERT_RETURN_IF_ERROR(logic_.CheckRegistered(symbols));
        std::set<std::string> seen;
        std::erase_if(symbols, [&](const std::string& symbol) { return !seen.insert(symbol).second; });
        // The stream holds the watcher by its hooks, and lets go of it when it ends.
        auto watcher =
            std::make_shared<ConflatingWatcher>([stream](const std::vector<internal::v1::QuoteRecord>& quotes) {
              v1::WatchQuotesResponse response;
              for (const internal::v1::QuoteRecord& quote : quotes) *response.add_quotes() = ToQuote(quote);
              return stream->TryPush(std::move(response));
            });
        board_.Watch(symbols, watcher);
        // After Watch: where the client has gone already, on_done is called at once.
        stream->SetHooks({[watcher] { watcher->Deliver(); }, [this, watcher] { board_.Unwatch(watcher); }});
        // What the queue had no room for while the hook was not set.
        watcher->Deliver();
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::ListBars(grpc::CallbackServerContext* context,
                                                      const v1::ListBarsRequest* request,
                                                      v1::ListBarsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/ListBars", Access::kRead}, request, response,
      [this](const CallContext&, const v1::ListBarsRequest& asked) -> absl::StatusOr<v1::ListBarsResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string symbol, SymbolOf(asked.parent(), "parent"));
        STOCKALERT_ASSIGN_OR_RETURN(const BarPage page, ReadBarPage(asked, symbol));
        STOCKALERT_RETURN_IF_ERROR(logic_.CheckRegistered({symbol}));
        // One more than the page shows whether there is a next one.
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<MinuteBar> bars,
                                    logic_.LastBars(symbol, page.start_us, page.end_us, page.page_size + 1));
        v1::ListBarsResponse answer;
        if (bars.size() > static_cast<size_t>(page.page_size)) {
          bars.pop_back();
          answer.set_next_page_token(NextPageToken(page, bars.back()));
        }
        for (const MinuteBar& bar : bars) *answer.add_bars() = ToBar(bar);
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::DeclareSplit(grpc::CallbackServerContext* context,
                                                          const v1::DeclareSplitRequest* request, v1::Split* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/DeclareSplit", Access::kAdministrator, Work::kOthers},
      request, response,
      [this](const CallContext& call, const v1::DeclareSplitRequest& asked) -> absl::StatusOr<v1::Split> {
        base::FieldViolations violations;
        const absl::StatusOr<std::string> symbol = SymbolOf(asked.parent(), "parent");
        violations.Merge(symbol.status(), "parent");
        const absl::StatusOr<AskedSplit> split = ReadSplit(asked, clock_.NowUs());
        violations.Merge(split.status());
        if (!violations.ok()) return violations.ToStatus();
        STOCKALERT_ASSIGN_OR_RETURN(const SplitRow row, splits_.Declare(*symbol, split->ratio, split->effective_time_us,
                                                                        asked.request_id(), call.trace, call.deadline));
        return ToSplit(row);
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::ListSplits(grpc::CallbackServerContext* context,
                                                        const v1::ListSplitsRequest* request,
                                                        v1::ListSplitsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/ListSplits", Access::kRead}, request, response,
      [this](const CallContext&, const v1::ListSplitsRequest& asked) -> absl::StatusOr<v1::ListSplitsResponse> {
        std::string symbol;
        if (asked.parent() != "tickers/-") {
          STOCKALERT_ASSIGN_OR_RETURN(symbol, SymbolOf(asked.parent(), "parent"));
          // Those of a ticker that was deleted are there still, for its numbers go on.
        }
        const std::string scope = rpc::PageScope("ListSplits", symbol);
        STOCKALERT_ASSIGN_OR_RETURN(const int page_size, rpc::ResolvePageSize(asked.page_size()));
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<std::string> place,
                                    rpc::DecodePageToken(scope, asked.page_token(), 2));
        std::optional<SplitPlace> after;
        if (!place.empty()) {
          after.emplace(SplitPlace{place[0], 0});
          if (!absl::SimpleAtoi(place[1], &after->number))
            return base::InvalidField("page_token", "is not one of ListSplits");
        }
        // One more than the page shows whether there is a next one.
        STOCKALERT_ASSIGN_OR_RETURN(std::vector<SplitRow> rows, splits_.List(symbol, after, page_size + 1));
        v1::ListSplitsResponse answer;
        if (rows.size() > static_cast<size_t>(page_size)) {
          rows.pop_back();
          const record::Split& last = rows.back().split;
          answer.set_next_page_token(rpc::EncodePageToken(scope, {last.symbol, absl::StrCat(last.number)}));
        }
        for (const SplitRow& row : rows) *answer.add_splits() = ToSplit(row);
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::HoldSymbol(grpc::CallbackServerContext* context,
                                                        const v1::HoldSymbolRequest* request, v1::Ticker* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/HoldSymbol", Access::kAdministrator, Work::kOthers},
      request, response,
      [this](const CallContext& call, const v1::HoldSymbolRequest& asked) -> absl::StatusOr<v1::Ticker> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string symbol, SymbolOf(asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const TickerView view,
                                    holds_.Publish(symbol, HoldPublisher::Kind::kSuspected, call.trace, call.deadline));
        return ToTicker(view);
      });
}

grpc::ServerUnaryReactor* TickerServiceImpl::DismissSplit(grpc::CallbackServerContext* context,
                                                          const v1::DismissSplitRequest* request,
                                                          v1::Ticker* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.ticker.v1.TickerService/DismissSplit", Access::kAdministrator, Work::kOthers},
      request, response,
      [this](const CallContext& call, const v1::DismissSplitRequest& asked) -> absl::StatusOr<v1::Ticker> {
        STOCKALERT_ASSIGN_OR_RETURN(const std::string symbol, SymbolOf(asked.name(), "name"));
        STOCKALERT_ASSIGN_OR_RETURN(const TickerView view,
                                    holds_.Publish(symbol, HoldPublisher::Kind::kDismissed, call.trace, call.deadline));
        return ToTicker(view);
      });
}

}  // namespace stockalert::ticker
