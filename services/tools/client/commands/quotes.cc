#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/stream.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace ticker_v1 = ::stockalert::ticker::v1;

using Symbols = std::vector<std::string>;

const std::map<std::string, std::string> kSymbols = {{"name", "symbols"}, {"names", "symbols"}};

// Of many, those without a price are left out; of one, it is an error.
absl::StatusOr<std::vector<quote::v1::Quote>> Fetch(CommandContext& context, const Symbols& symbols) {
  if (symbols.size() == 1) {
    ticker_v1::GetQuoteRequest request;
    request.set_name(TickerNameOf(symbols.front()));
    STOCKALERT_ASSIGN_OR_RETURN(auto quote, context.Call(&Tickers::GetQuote, request));
    return std::vector<quote::v1::Quote>{std::move(quote)};
  }
  ticker_v1::BatchGetQuotesRequest request;
  for (const std::string& symbol : symbols) request.add_names(TickerNameOf(symbol));
  STOCKALERT_ASSIGN_OR_RETURN(const auto response, context.Call(&Tickers::BatchGetQuotes, request));
  return std::vector<quote::v1::Quote>(response.quotes().begin(), response.quotes().end());
}

absl::Status Get(CommandContext& context, const Symbols& symbols) {
  STOCKALERT_ASSIGN_OR_RETURN(const auto quotes, Fetch(context, symbols));
  Table table({"SYMBOL", ">PRICE", "EVENT TIME", "SESSION", ">OPEN", ">HIGH", ">LOW", ">CLOSE BEFORE", "SOURCE"});
  for (const auto& quote : quotes) {
    table.Add({Cell(quote.symbol(), Colour::kBold), Cell(quote.price(), Colour::kCyan), FormatTime(quote.event_time()),
               FormatSession(quote.session()), quote.day_open(), quote.day_high(), quote.day_low(),
               quote.previous_close(), quote.source()});
  }
  context.PrintList(quotes, table, "no prices yet");
  return absl::OkStatus();
}

struct WatchFlags {
  Symbols symbols;
  int64_t count = 0;
};

void PrintLine(const Terminal& terminal, const quote::v1::Quote& quote) {
  if (terminal.json) {
    terminal.PrintJson(quote);
    return;
  }
  terminal.out << terminal.Paint(FormatTime(quote.event_time()), Colour::kDim) << "  "
               << terminal.Paint(Clean(quote.symbol()), Colour::kBold) << ' '
               << terminal.Paint(Clean(quote.price()), Colour::kCyan) << "  " << FormatSession(quote.session()) << '\n'
               << std::flush;
}

absl::Status WatchThem(CommandContext& context, const WatchFlags& flags) {
  ticker_v1::WatchQuotesRequest request;
  for (const std::string& symbol : flags.symbols) request.add_names(TickerNameOf(symbol));
  std::map<std::string, std::string> last_shown;
  int64_t printed = 0;
  return Watch<ticker_v1::WatchQuotesResponse>(
      context, [&](::grpc::ClientContext& call) { return context.connection->tickers().WatchQuotes(&call, request); },
      [&](const ticker_v1::WatchQuotesResponse& response) {
        for (const auto& quote : response.quotes()) {
          // A stream begins with the latest known: after an interruption that may have been shown.
          std::string bytes = quote.SerializeAsString();
          if (last_shown[quote.symbol()] == bytes) continue;
          last_shown[quote.symbol()] = std::move(bytes);
          PrintLine(context.terminal, quote);
          if (++printed == flags.count) return true;
        }
        return false;
      });
}

void DeclareWatch(CLI::App& quotes, CommandContext& context) {
  const auto flags = std::make_shared<WatchFlags>();
  CLI::App& command = context.Command(
      quotes, "watch", "print prices as they come, until interrupted",
      [&context, flags] { return WatchThem(context, *flags); }, kSymbols);
  command.add_option("symbols", flags->symbols, "as in AAPL")->required();
  DeclareCount(command, flags->count);
}

struct PublishFlags {
  std::string symbol, price, time, session;
  bool from_stdin = false;
};

// What there is to say of a published quote; empty: it was accepted, and alerts go by it.
std::string RemarkOn(const ticker_v1::QuoteOutcome& outcome) {
  switch (outcome.verdict()) {
    case ticker_v1::QuoteOutcome::VERDICT_LATE:
      return "late: dropped, for the symbol has an accepted price of a later time";
    case ticker_v1::QuoteOutcome::VERDICT_REPEATED:
      return "repeated: skipped, for the log had it already";
    case ticker_v1::QuoteOutcome::VERDICT_REFUSED:
      return "refused: dropped, for no price could be so";
    case ticker_v1::QuoteOutcome::VERDICT_UNKNOWN:
      return "in the log, but what became of it was not seen in time";
    case ticker_v1::QuoteOutcome::VERDICT_HELD:
      return "kept: a split of the symbol is suspected, and it counts once that is settled (`ticker split` or `ticker "
             "dismiss`)";
    default:
      return outcome.counts_for_no_alert() ? "shown, but it counts for no alert: its session is CLOSED" : "";
  }
}

// Publishes what is added, a thousand at a time.
class Publisher {
 public:
  Publisher(CommandContext& context, const std::string& session) : context_(context) {
    quote::v1::Session_Parse("SESSION_" + absl::AsciiStrToUpper(session), &session_);
  }

  // `line` of the input; 0: from the command line.
  absl::Status Add(const std::string& symbol, const std::string& price, const std::string& time, int64_t line) {
    constexpr int kBatchMax = 1000;
    auto& quote = *request_.add_quotes();
    quote.set_symbol(symbol);
    quote.set_price(price);
    quote.set_session(session_);
    const std::string where = line == 0 ? "--time" : absl::StrCat("line ", line);
    STOCKALERT_ASSIGN_OR_RETURN(*quote.mutable_event_time(),
                                OfFlag(where, ParseTime(time.empty() ? "+0s" : time, absl::Now())));
    lines_.push_back(line);
    return request_.quotes_size() == kBatchMax ? Send() : absl::OkStatus();
  }
  absl::Status Send() {
    if (request_.quotes_size() == 0) return absl::OkStatus();
    STOCKALERT_ASSIGN_OR_RETURN(const auto response, context_.Call(&Tickers::PublishQuotes, request_));
    total_.set_published_count(total_.published_count() + response.published_count());
    if (context_.terminal.json) total_.mutable_outcomes()->MergeFrom(response.outcomes());
    for (int i = 0; i < std::min(response.outcomes_size(), request_.quotes_size()); ++i) {
      const std::string remark = RemarkOn(response.outcomes(i));
      if (remark.empty() || ++remarks_ > kRemarksMax) continue;
      const int64_t line = lines_[static_cast<size_t>(i)];
      context_.Notice(absl::StrCat(line == 0 ? "" : absl::StrCat("line ", line, ", "), request_.quotes(i).symbol(), " ",
                                   request_.quotes(i).price(), ": ", remark));
    }
    request_.clear_quotes();
    lines_.clear();
    return absl::OkStatus();
  }
  // Of all that was sent.
  void PrintTotal() const {
    if (context_.terminal.json) context_.terminal.PrintJson(total_);
    if (remarks_ > kRemarksMax)
      context_.Notice(absl::StrCat("and ", remarks_ - kRemarksMax, " more that alerts do not go by"));
    context_.Notice(absl::StrCat("published ", total_.published_count()));
  }
  // "quotes[2].price" → "price", or "line 3, price".
  std::string FlagOf(const std::string& field) const {
    size_t index = 0;
    const size_t dot = field.find("].");
    if (!absl::StartsWith(field, "quotes[") || dot == std::string::npos ||
        !absl::SimpleAtoi(field.substr(7, dot - 7), &index) || index >= lines_.size()) {
      return "";
    }
    const std::string part = field.substr(dot + 2);
    if (lines_[index] != 0) return absl::StrCat("line ", lines_[index], ", ", part == "event_time" ? "time" : part);
    return part == "event_time" ? "--time" : part == "session" ? "--session" : part;
  }

 private:
  CommandContext& context_;
  quote::v1::Session session_ = quote::v1::SESSION_UNSPECIFIED;
  ticker_v1::PublishQuotesRequest request_;
  std::vector<int64_t> lines_;  // Of the request's quotes.
  static constexpr int kRemarksMax = 20;
  ticker_v1::PublishQuotesResponse total_;
  int remarks_ = 0;
};

absl::Status PublishLines(std::istream& in, Publisher& publisher) {
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    std::istringstream words(line);
    std::string symbol, price, time;
    words >> symbol >> price >> time;
    if (symbol.empty()) continue;
    if (price.empty()) {
      return WrongUsage(absl::StrCat("line ", number, ": write SYMBOL PRICE [TIME]"));
    }
    STOCKALERT_RETURN_IF_ERROR(publisher.Add(symbol, price, time, number));
  }
  return absl::OkStatus();
}

absl::Status Publish(CommandContext& context, const PublishFlags& flags) {
  const auto publisher_made = std::make_shared<Publisher>(context, flags.session);
  Publisher& publisher = *publisher_made;
  context.flag_of = [publisher_made](const std::string& field) { return publisher_made->FlagOf(field); };
  if (flags.from_stdin) {
    STOCKALERT_RETURN_IF_ERROR(PublishLines(context.surroundings.in, publisher));
  } else {
    if (flags.symbol.empty() || flags.price.empty()) {
      return WrongUsage("give SYMBOL and PRICE, or --stdin");
    }
    STOCKALERT_RETURN_IF_ERROR(publisher.Add(flags.symbol, flags.price, flags.time, 0));
  }
  STOCKALERT_RETURN_IF_ERROR(publisher.Send());
  publisher.PrintTotal();
  return absl::OkStatus();
}

void DeclarePublish(CLI::App& quotes, CommandContext& context) {
  const auto flags = std::make_shared<PublishFlags>();
  CLI::App& command = context.Command(quotes, "publish", "publish prices (an administrator's)",
                                      [&context, flags] { return Publish(context, *flags); });
  CLI::Option* symbol = command.add_option("symbol", flags->symbol, "as in AAPL");
  CLI::Option* price = command.add_option("price", flags->price, "as in 150.25");
  CLI::Option* time = command.add_option("--time", flags->time,
                                         "the exchange's time of the price, as in 2026-11-23T15:00:00Z; else now");
  command.add_option("--session", flags->session, "else by the time")
      ->check(CLI::IsMember({"pre", "regular", "post", "closed"}));
  command.add_flag("--stdin", flags->from_stdin, "read lines of SYMBOL PRICE [TIME] from standard input instead")
      ->excludes(symbol, price, time);
}

}  // namespace

void DeclareQuotes(CLI::App& app, CommandContext& context) {
  CLI::App& quotes = context.Group(app, "quotes", "see and publish prices");
  const auto symbols = std::make_shared<Symbols>();
  context
      .Command(
          quotes, "get", "current prices, fetched now", [&context, symbols] { return Get(context, *symbols); },
          kSymbols)
      .add_option("symbols", *symbols, "as in AAPL")
      ->required();
  DeclareWatch(quotes, context);
  DeclarePublish(quotes, context);
}

}  // namespace stockalert::client
