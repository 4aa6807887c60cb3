#include "services/ticker/ticker_internal_service.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/base/error.h"
#include "services/common/base/status_macros.h"
#include "services/domain/market/symbol.h"
#include "services/ticker/bar_convert.h"

namespace stockalert::ticker {

namespace ipb = ::stockalert::internal::v1;
using rpc::Access;
using rpc::CallContext;

constexpr size_t kUserIdMax = 100;

grpc::ServerUnaryReactor* TickerInternalServiceImpl::RegisterTicker(grpc::CallbackServerContext* context,
                                                                    const ipb::RegisterTickerRequest* request,
                                                                    ipb::RegisterTickerResponse* response) {
  return rpc::RunUnary(
      runner_, context,
      {"stockalert.internal.v1.TickerInternalService/RegisterTicker", Access::kMesh, rpc::Work::kOthers}, request,
      response,
      [this](const CallContext& call,
             const ipb::RegisterTickerRequest& asked) -> absl::StatusOr<ipb::RegisterTickerResponse> {
        if (asked.hold_ms() < 0 || asked.hold_ms() > kHoldMsMax) {
          return base::InvalidField("hold_ms", absl::StrCat("must be 0 to ", kHoldMsMax));
        }
        if (asked.user_id().size() > kUserIdMax)
          return base::InvalidField("user_id", "must have at most 100 characters");
        ipb::RegisterTickerResponse answer;
        if (asked.validate_only()) {
          STOCKALERT_ASSIGN_OR_RETURN(
              const std::vector<std::string> symbols,
              logic_.CheckRegistration({asked.symbol()}, {"symbol"}, asked.user_id(), call.trace, call.deadline));
          answer.set_symbol(symbols.front());
          return answer;
        }
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<TickerView> views,
            logic_.Register({asked.symbol()}, {"symbol"}, asked.hold_ms(), asked.user_id(), call.trace, call.deadline));
        answer.set_symbol(views.front().ticker.symbol);
        if (const auto number = logic_.SplitNumber(views.front())) answer.set_split_number(*number);
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerInternalServiceImpl::GetLastPrices(grpc::CallbackServerContext* context,
                                                                   const ipb::GetLastPricesRequest* request,
                                                                   ipb::GetLastPricesResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.TickerInternalService/GetLastPrices", Access::kMesh}, request,
      response,
      [this](const CallContext&, const ipb::GetLastPricesRequest& asked) -> absl::StatusOr<ipb::GetLastPricesResponse> {
        if (static_cast<size_t>(asked.symbols_size()) > kLastPricesMax) {
          return base::InvalidField("symbols", absl::StrCat("must be at most ", kLastPricesMax, " symbols"));
        }
        std::vector<std::string> symbols;
        for (const std::string& text : asked.symbols()) {
          symbols.push_back(market::NormalizeSymbol(text).value_or(text));
        }
        STOCKALERT_ASSIGN_OR_RETURN(const std::vector<SymbolPrices> prices, logic_.LastPrices(symbols));
        ipb::GetLastPricesResponse answer;
        for (const SymbolPrices& known : prices) {
          ipb::LastPrice& price = *answer.add_prices();
          price.set_symbol(known.symbol);
          if (known.regular_price_micros) price.set_regular_price_micros(*known.regular_price_micros);
          if (known.extended_price_micros) price.set_extended_price_micros(*known.extended_price_micros);
          if (known.latest) price.set_last_event_time_us(known.latest->event_time_us());
          if (known.previous_close_micros) price.set_previous_close_micros(*known.previous_close_micros);
          if (known.day_open_micros) price.set_day_open_micros(*known.day_open_micros);
          price.set_split_number(known.split_number);
        }
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerInternalServiceImpl::AcquirePublisherEpoch(
    grpc::CallbackServerContext* context, const ipb::AcquirePublisherEpochRequest* request,
    ipb::AcquirePublisherEpochResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.TickerInternalService/AcquirePublisherEpoch", Access::kMesh}, request,
      response,
      [this](const CallContext&,
             const ipb::AcquirePublisherEpochRequest& asked) -> absl::StatusOr<ipb::AcquirePublisherEpochResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const int64_t epoch, logic_.AcquirePublisherEpoch(asked.if_highest_is()));
        ipb::AcquirePublisherEpochResponse answer;
        answer.set_epoch(epoch);
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerInternalServiceImpl::RenewPublisherLease(grpc::CallbackServerContext* context,
                                                                         const ipb::RenewPublisherLeaseRequest* request,
                                                                         ipb::RenewPublisherLeaseResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.TickerInternalService/RenewPublisherLease", Access::kMesh}, request,
      response,
      [this](const CallContext&,
             const ipb::RenewPublisherLeaseRequest& asked) -> absl::StatusOr<ipb::RenewPublisherLeaseResponse> {
        STOCKALERT_ASSIGN_OR_RETURN(const PublisherLeaseRow lease,
                                    logic_.RenewPublisher(asked.epoch(), asked.release()));
        ipb::RenewPublisherLeaseResponse answer;
        answer.set_highest_epoch(lease.highest_epoch);
        answer.set_renewals(lease.renewals);
        answer.set_released(lease.released);
        answer.set_log_epoch(logic_.LogEpoch());
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerInternalServiceImpl::ListSymbols(grpc::CallbackServerContext* context,
                                                                 const ipb::ListSymbolsRequest* request,
                                                                 ipb::ListSymbolsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.TickerInternalService/ListSymbols", Access::kMesh}, request, response,
      [this](const CallContext&, const ipb::ListSymbolsRequest& asked) -> absl::StatusOr<ipb::ListSymbolsResponse> {
        base::FieldViolations violations;
        violations.Check(asked.page_size() >= 0, "page_size", "must not be negative");
        violations.Check(asked.after().empty() || market::IsNormalSymbol(asked.after()), "after", market::kSymbolRule);
        if (!violations.ok()) return violations.ToStatus();
        STOCKALERT_ASSIGN_OR_RETURN(SymbolList list,
                                    logic_.ListSymbols(asked.known_version(), asked.page_size(), asked.after()));
        ipb::ListSymbolsResponse answer;
        answer.set_more(list.more);
        answer.set_version(list.version);
        answer.set_unchanged(list.unchanged);
        answer.mutable_symbols()->Assign(list.symbols.begin(), list.symbols.end());
        return answer;
      });
}

grpc::ServerUnaryReactor* TickerInternalServiceImpl::ListLastBars(grpc::CallbackServerContext* context,
                                                                  const ipb::ListLastBarsRequest* request,
                                                                  ipb::ListLastBarsResponse* response) {
  return rpc::RunUnary(
      runner_, context, {"stockalert.internal.v1.TickerInternalService/ListLastBars", Access::kMesh}, request, response,
      [this](const CallContext&, const ipb::ListLastBarsRequest& asked) -> absl::StatusOr<ipb::ListLastBarsResponse> {
        base::FieldViolations violations;
        const std::optional<std::string> symbol = market::NormalizeSymbol(asked.symbol());
        violations.Check(symbol.has_value(), "symbol", market::kSymbolRule);
        violations.Check(asked.start_time_us() < asked.end_time_us(), "end_time_us", "must be after start_time_us");
        violations.Check(asked.bar_count_max() >= 1 && asked.bar_count_max() <= kLastBarsMax, "bar_count_max",
                         absl::StrCat("must be 1 to ", kLastBarsMax));
        if (!violations.ok()) return violations.ToStatus();
        STOCKALERT_ASSIGN_OR_RETURN(
            const std::vector<MinuteBar> bars,
            logic_.LastBars(*symbol, asked.start_time_us(), asked.end_time_us(), asked.bar_count_max()));
        ipb::ListLastBarsResponse answer;
        for (auto bar = bars.rbegin(); bar != bars.rend(); ++bar) *answer.add_bars() = ToPriceBar(*bar);
        return answer;
      });
}

}  // namespace stockalert::ticker
