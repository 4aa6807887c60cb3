#include <memory>

#include "services/tools/client/commands/commands.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace ticker_v1 = ::stockalert::ticker::v1;

using Symbols = std::vector<std::string>;

void PrintTickers(const CommandContext& context, const std::vector<ticker_v1::Ticker>& tickers) {
  Table table({"SYMBOL", ">LAST PRICE", "EVENT TIME", "SESSION", "REGISTERED"});
  for (const auto& ticker : tickers) {
    const quote::v1::Quote& quote = ticker.latest_quote();
    table.Add({Cell(ticker.symbol(), Colour::kBold), Cell(quote.price(), Colour::kCyan), FormatTime(quote.event_time()),
               ticker.has_latest_quote() ? FormatSession(quote.session()) : "", FormatTime(ticker.create_time())});
  }
  context.PrintList(tickers, table, "no tickers");
}

// Many are registered all or none.
absl::Status Register(CommandContext& context, const Symbols& symbols) {
  std::vector<ticker_v1::Ticker> tickers;
  if (symbols.size() == 1) {
    ticker_v1::RegisterTickerRequest request;
    request.set_symbol(symbols.front());
    STOCKALERT_ASSIGN_OR_RETURN(auto ticker, context.Call(&Tickers::RegisterTicker, request));
    tickers.push_back(std::move(ticker));
  } else {
    ticker_v1::BatchRegisterTickersRequest request;
    for (const std::string& symbol : symbols) request.add_symbols(symbol);
    STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Tickers::BatchRegisterTickers, request));
    tickers.assign(response.tickers().begin(), response.tickers().end());
  }
  PrintTickers(context, tickers);
  return absl::OkStatus();
}

absl::Status Get(CommandContext& context, const Symbols& symbols) {
  std::vector<ticker_v1::Ticker> tickers;
  for (const std::string& symbol : symbols) {
    ticker_v1::GetTickerRequest request;
    request.set_name(TickerNameOf(symbol));
    STOCKALERT_ASSIGN_OR_RETURN(auto ticker, context.Call(&Tickers::GetTicker, request));
    tickers.push_back(std::move(ticker));
  }
  PrintTickers(context, tickers);
  return absl::OkStatus();
}

absl::Status List(CommandContext& context, int64_t limit) {
  STOCKALERT_ASSIGN_OR_RETURN(const auto tickers,
                              context.List(&Tickers::ListTickers, ticker_v1::ListTickersRequest(), limit,
                                           &ticker_v1::ListTickersResponse::mutable_tickers));
  PrintTickers(context, tickers);
  return absl::OkStatus();
}

absl::Status Delete(CommandContext& context, const Symbols& symbols) {
  for (const std::string& symbol : symbols) {
    ticker_v1::DeleteTickerRequest request;
    request.set_name(TickerNameOf(symbol));
    STOCKALERT_RETURN_IF_ERROR(context.Call(&Tickers::DeleteTicker, request).status());
    context.Notice("ended the registration of " + Clean(symbol));
  }
  return absl::OkStatus();
}

}  // namespace

void DeclareTickers(CLI::App& app, CommandContext& context) {
  CLI::App& ticker = context.Group(app, "ticker", "register tickers, and see those that there are");
  const auto symbols = std::make_shared<Symbols>();
  const auto declare = [&](const char* name, const char* description, CommandContext::Action act) {
    context
        .Command(ticker, name, description, std::move(act),
                 {{"symbol", "symbols"}, {"symbols", "symbols"}, {"name", "symbols"}})
        .add_option("symbols", *symbols, "as in AAPL")
        ->required();
  };
  declare("register", "have the prices of tickers fetched",
          [&context, symbols] { return Register(context, *symbols); });
  declare("get", "show tickers with their last prices", [&context, symbols] { return Get(context, *symbols); });
  declare("delete", "end registrations (an administrator's)",
          [&context, symbols] { return Delete(context, *symbols); });
  const auto limit = std::make_shared<int64_t>(100);
  DeclareLimit(context.Command(ticker, "list", "list all registered tickers, by symbol",
                               [&context, limit] { return List(context, *limit); }),
               *limit);
}

}  // namespace stockalert::client
