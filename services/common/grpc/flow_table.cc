#include "services/common/grpc/flow_table.h"

#include <algorithm>
#include <array>

namespace stockalert::rpc {

std::span<const Flow> FlowTable() {
  static const auto* const kTable = new std::vector<Flow>{
      {"stockalert.internal.v1.UserInternalService/AuthenticateApiKey", {"ticker", "alert", "notifier"}},
      {"stockalert.internal.v1.UserInternalService/GetUser", {"alert", "notifier"}},
      {"stockalert.internal.v1.UserInternalService/CountFollowers", {"ticker"}},
      {"stockalert.internal.v1.TickerInternalService/RegisterTicker", {"user", "alert"}},
      {"stockalert.internal.v1.TickerInternalService/GetLastPrices", {"alert"}},
      {"stockalert.internal.v1.TickerInternalService/AcquirePublisherEpoch", {"fetcher"}},
      {"stockalert.internal.v1.TickerInternalService/RenewPublisherLease", {"fetcher"}},
      {"stockalert.internal.v1.TickerInternalService/ListSymbols", {"fetcher"}},
      {"stockalert.internal.v1.TickerInternalService/ListLastBars", {"notifier"}},
      {"stockalert.internal.v1.AlertInternalService/CountAlerts", {"ticker"}},
      {"stockalert.internal.v1.NotifierInternalService/FindDestinations", {"alert"}},
      {"stockalert.internal.v1.EvaluatorInternalService/ExplainAlert", {"alert"}},
      {"stockalert.internal.v1.FetcherService/LookupSymbol", {"ticker"}},
      {"stockalert.internal.v1.FetcherService/FetchQuotes", {"ticker"}},
      {"stockalert.internal.v1.FetcherService/PublishQuotes", {"ticker"}},
      {"stockalert.internal.v1.FetcherService/PublishSplit", {"ticker"}},
      {"stockalert.internal.v1.FetcherService/PublishHold", {"ticker"}},
  };
  return *kTable;
}

std::span<const std::string_view> Services() {
  static constexpr std::array<std::string_view, 6> kServices = {"user",     "ticker",  "alert",
                                                                "notifier", "fetcher", "evaluator"};
  return kServices;
}

bool IsService(std::string_view name) { return std::ranges::find(Services(), name) != Services().end(); }

const Flow* FindFlow(std::string_view method) {
  const std::span<const Flow> table = FlowTable();
  const auto found = std::ranges::find(table, method, &Flow::method);
  return found == table.end() ? nullptr : &*found;
}

bool MayCall(std::string_view caller, std::string_view method) {
  const Flow* flow = FindFlow(method);
  return flow != nullptr && std::ranges::find(flow->callers, caller) != flow->callers.end();
}

}  // namespace stockalert::rpc
