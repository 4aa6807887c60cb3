#include <memory>

#include "absl/time/clock.h"
#include "services/tools/client/bar_picture.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace ticker_v1 = ::stockalert::ticker::v1;

struct BarFlags {
  std::string symbol, since, until;
  int64_t limit = 60;
};

// "2h": so long ago; else as ParseTime.
absl::StatusOr<google::protobuf::Timestamp> ParsePastTime(const std::string& text) {
  const absl::Time now = absl::Now();
  const auto ago = ParseDuration(text);
  if (!ago.ok()) return ParseTime(text, now);
  google::protobuf::Timestamp time;
  time.set_seconds(absl::ToUnixSeconds(now) - ago->seconds());
  return time;
}

absl::Status List(CommandContext& context, const BarFlags& flags) {
  ticker_v1::ListBarsRequest request;
  request.set_parent(TickerNameOf(flags.symbol));
  if (!flags.since.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_start_time(), OfFlag("--since", ParsePastTime(flags.since)));
  }
  if (!flags.until.empty()) {
    STOCKALERT_ASSIGN_OR_RETURN(*request.mutable_end_time(), OfFlag("--until", ParsePastTime(flags.until)));
  }
  STOCKALERT_ASSIGN_OR_RETURN(const auto bars, context.List(&Tickers::ListBars, request, flags.limit,
                                                            &ticker_v1::ListBarsResponse::mutable_bars));
  Table table({"MINUTE", ">OPEN", ">HIGH", ">LOW", ">CLOSE"});
  for (const ticker_v1::Bar& bar : bars)
    table.Add({FormatTime(bar.start_time()), bar.open(), bar.high(), bar.low(), Cell(bar.close(), Colour::kCyan)});
  context.PrintList(bars, table, "no bars");
  if (!context.terminal.json && bars.size() > 1)
    context.terminal.out << '\n' << BarPicture(context.terminal, bars) << std::flush;
  return absl::OkStatus();
}

}  // namespace

void DeclareBars(CLI::App& app, CommandContext& context) {
  const auto flags = std::make_shared<BarFlags>();
  CLI::App& command = context.Command(
      app, "bars", "list a ticker's prices by the minute, newest first",
      [&context, flags] { return List(context, *flags); },
      {{"parent", "symbol"}, {"start_time", "--since"}, {"end_time", "--until"}, {"page_size", "--limit"}});
  command.add_option("symbol", flags->symbol, "as in AAPL")->required();
  command.add_option("--since", flags->since,
                     "only minutes that begin at or after this time (RFC 3339, or 2h: so long ago)");
  command.add_option("--until", flags->until, "only minutes that begin before this time");
  DeclareLimit(command, flags->limit);
}

}  // namespace stockalert::client
