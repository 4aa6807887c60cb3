#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace ticker_v1 = ::stockalert::ticker::v1;

using Symbols = std::vector<std::string>;

void PrintTickers(const CommandContext& context, const std::vector<ticker_v1::Ticker>& tickers) {
  // Hardly ever is one held.
  const bool any_held = std::ranges::any_of(tickers, [](const auto& ticker) { return ticker.has_hold(); });
  std::vector<std::string> columns = {"SYMBOL", ">LAST PRICE", "EVENT TIME", "SESSION", "REGISTERED"};
  if (any_held) columns.insert(columns.end(), {"HELD SINCE", ">KEPT"});
  Table table(columns);
  for (const auto& ticker : tickers) {
    const quote::v1::Quote& quote = ticker.latest_quote();
    std::vector<Cell> row = {
        Cell(ticker.symbol(), Colour::kBold), Cell(quote.price(), Colour::kCyan), FormatTime(quote.event_time()),
        ticker.has_latest_quote() ? FormatSession(quote.session()) : "", FormatTime(ticker.create_time())};
    if (ticker.has_hold()) {
      row.emplace_back(FormatTime(ticker.hold().start_time()), Colour::kYellow);
      row.emplace_back(absl::StrCat(ticker.hold().kept_quote_count()));
    } else if (any_held) {
      row.insert(row.end(), 2, Cell(""));
    }
    table.Add(row);
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

// HoldSymbol and DismissSplit: each ticker as it is afterwards.
template <typename Request, typename Method>
absl::Status SettleEach(CommandContext& context, const Symbols& symbols, Method method) {
  std::vector<ticker_v1::Ticker> tickers;
  for (const std::string& symbol : symbols) {
    Request request;
    request.set_name(TickerNameOf(symbol));
    STOCKALERT_ASSIGN_OR_RETURN(auto ticker, context.Call(method, request));
    tickers.push_back(std::move(ticker));
  }
  PrintTickers(context, tickers);
  return absl::OkStatus();
}

void PrintSplits(const CommandContext& context, const std::vector<ticker_v1::Split>& splits) {
  Table table({"SYMBOL", ">NUMBER", "SPLIT", "STATE", "EFFECTIVE", "DECLARED"});
  for (const auto& split : splits) {
    table.Add({Cell(split.symbol(), Colour::kBold), absl::StrCat(split.number()),
               Cell(absl::StrCat(split.numerator(), " for ", split.denominator()), Colour::kCyan),
               split.state() == ticker_v1::Split::STATE_PENDING ? "PENDING" : "APPLIED",
               FormatTime(split.effective_time()), FormatTime(split.create_time())});
  }
  context.PrintList(splits, table, "no splits");
}

struct SplitFlags {
  std::string symbol, effective_time, request_id;
  int64_t numerator = 0, denominator = 0;
};

absl::Status DeclareSplit(CommandContext& context, const SplitFlags& flags) {
  ticker_v1::DeclareSplitRequest request;
  request.set_parent(TickerNameOf(flags.symbol));
  request.set_numerator(flags.numerator);
  request.set_denominator(flags.denominator);
  STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_effective_time(),
                              OfFlag("--effective_time", ParseTime(flags.effective_time, absl::Now())));
  request.set_request_id(flags.request_id.empty() ? context.ids.NewUuid() : flags.request_id);
  absl::StatusOr<ticker_v1::Split> split = context.Call(&Tickers::DeclareSplit, request);
  if (absl::IsUnavailable(split.status()) || absl::IsDeadlineExceeded(split.status())) {
    context.terminal.Warn(
        "whether the split is kept is not known: see `ticker splits`, or repeat the command with "
        "--request_id " +
        request.request_id());
  }
  STOCKALERT_RETURN_IF_ERROR(split.status());
  PrintSplits(context, {*split});
  return absl::OkStatus();
}

absl::Status ListSplits(CommandContext& context, const std::string& symbol, int64_t limit) {
  ticker_v1::ListSplitsRequest request;
  request.set_parent(symbol.empty() ? "tickers/-" : TickerNameOf(symbol));
  STOCKALERT_ASSIGN_OR_RETURN(const auto splits, context.List(&Tickers::ListSplits, request, limit,
                                                              &ticker_v1::ListSplitsResponse::mutable_splits));
  PrintSplits(context, splits);
  return absl::OkStatus();
}

void DeclareSplits(CLI::App& ticker, CommandContext& context) {
  const auto flags = std::make_shared<SplitFlags>();
  CLI::App& declare = context.Command(
      ticker, "split",
      "declare a split, in effect from now on: all prices from before it are scaled, those of alerts too (an "
      "administrator's)",
      [&context, flags] { return DeclareSplit(context, *flags); },
      {{"parent", "symbol"},
       {"numerator", "numerator"},
       {"denominator", "denominator"},
       {"effective_time", "--effective_time"},
       {"request_id", "--request_id"}});
  declare.add_option("symbol", flags->symbol, "as in AAPL")->required();
  declare.add_option("numerator", flags->numerator, "so many shares now: 4 in a 4-for-1 split")->required();
  declare.add_option("denominator", flags->denominator, "for so many of before: 1 in a 4-for-1 split")->required();
  declare
      .add_option("--effective_time", flags->effective_time, "when it took effect at the exchange; it is only shown")
      ->required();
  declare.add_option("--request_id", flags->request_id, "of a call that is repeated: the same split is declared once");
  const auto symbol = std::make_shared<std::string>();
  const auto limit = std::make_shared<int64_t>(100);
  CLI::App& list = context.Command(ticker, "splits", "list the splits that were declared, by symbol, newest first",
                                   [&context, symbol, limit] { return ListSplits(context, *symbol, *limit); },
                                   {{"parent", "symbol"}});
  list.add_option("symbol", *symbol, "as in AAPL; without it those of all");
  DeclareLimit(list, *limit);
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
  declare("hold",
          "hold tickers whose split is suspected: no alert of them is evaluated until `ticker split` or `ticker "
          "dismiss` settles it (an administrator's)",
          [&context, symbols] {
            return SettleEach<ticker_v1::HoldSymbolRequest>(context, *symbols, &Tickers::HoldSymbol);
          });
  declare("dismiss", "end holds, for there was no split: what was kept is evaluated, as it came (an administrator's)",
          [&context, symbols] {
            return SettleEach<ticker_v1::DismissSplitRequest>(context, *symbols, &Tickers::DismissSplit);
          });
  const auto limit = std::make_shared<int64_t>(100);
  DeclareLimit(context.Command(ticker, "list", "list all registered tickers, by symbol",
                               [&context, limit] { return List(context, *limit); }),
               *limit);
  DeclareSplits(ticker, context);
}

}  // namespace stockalert::client
