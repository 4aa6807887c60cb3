#include "services/tools/client/transfer.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/tools/client/alert_flags.h"
#include "services/tools/client/commands/commands.h"
#include "services/tools/client/usage.h"
#include "services/tools/client/values.h"

namespace stockalert::client {
namespace {

namespace alert_v1 = ::stockalert::alert::v1;

struct Flags {
  std::string file = "-", format, name, symbol;
};

absl::StatusOr<TransferFormat> FormatOf(const Flags& flags) {
  if (!flags.format.empty()) return flags.format == "csv" ? TransferFormat::kCsv : TransferFormat::kJsonLines;
  if (absl::EndsWith(flags.file, ".csv")) return TransferFormat::kCsv;
  if (absl::EndsWith(flags.file, ".jsonl") || absl::EndsWith(flags.file, ".ndjson")) return TransferFormat::kJsonLines;
  return WrongUsage("give --format csv or --format json: the file's name does not tell");
}

using ReadAlerts = std::shared_ptr<const std::vector<ReadAlert>>;

absl::StatusOr<ReadAlerts> ReadAll(std::istream& in, TransferFormat format) {
  AlertReader reader(in, format);
  const auto all = std::make_shared<std::vector<ReadAlert>>();
  for (;;) {
    STOCKALERT_ASSIGN_OR_RETURN(auto next, reader.Next());
    if (!next) return ReadAlerts(all);
    all->push_back(*std::move(next));
  }
}

// "requests[3].alert.note" of the alerts from `begin` on → "line 5, note".
std::string PlaceOf(const std::string& field, const std::vector<ReadAlert>& all, size_t begin) {
  size_t index = 0;
  const size_t bracket = field.find(']');
  if (!absl::StartsWith(field, "requests[") || bracket == std::string::npos ||
      !absl::SimpleAtoi(field.substr(9, bracket - 9), &index) || begin + index >= all.size()) {
    return "";
  }
  const std::string below = bracket + 2 < field.size() ? field.substr(bracket + 2) : "";
  std::string flag = AlertFlags().FlagOf(below);
  if (absl::StartsWith(flag, "--")) flag = flag.substr(2);
  return absl::StrCat("line ", all[begin + index].line, ", ", flag.empty() ? below : flag);
}

// Sends what was read, a hundred at a time: each hundred is made as a whole or not at all.
class Import {
 public:
  Import(CommandContext& context, ReadAlerts all, const std::string& name)
      : context_(context), read_(std::move(all)), all_(*read_), name_(name) {}

  absl::Status Run() {
    for (size_t begin = 0; begin < all_.size(); begin += kBatchMax) {
      const absl::Status status = Send(begin, std::min(begin + kBatchMax, all_.size()));
      if (!status.ok()) return Stopped(status, begin);
      ShowProgress(std::min(begin + kBatchMax, all_.size()));
    }
    if (shows_progress()) context_.terminal.err << '\n';
    context_.Notice(absl::StrCat("imported ", all_.size()));
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kBatchMax = 100;

  absl::Status Send(size_t begin, size_t end) {
    alert_v1::BatchCreateAlertsRequest request;
    request.set_parent(kOwn);
    for (size_t i = begin; i < end; ++i) {
      alert_v1::CreateAlertRequest& one = *request.add_requests();
      *one.mutable_alert() = all_[i].alert;
      const int64_t occurrence = ++occurrences_[all_[i].alert.SerializeAsString()];
      one.set_request_id(RequestIdOf(all_[i].alert, occurrence, name_));
    }
    context_.flag_of = [all = read_, begin](const std::string& field) { return PlaceOf(field, *all, begin); };
    STOCKALERT_ASSIGN_OR_RETURN(const auto response, context_.Call(&Alerts::BatchCreateAlerts, request));
    for (const auto& alert : response.alerts()) {
      if (context_.terminal.json) context_.terminal.PrintJson(alert);
    }
    return absl::OkStatus();
  }
  absl::Status Stopped(const absl::Status& status, size_t begin) {
    if (shows_progress()) context_.terminal.err << '\n';
    context_.terminal.Warn(absl::StrCat("the alerts before line ", all_[begin].line, " are there (", begin,
                                        "); import the file again, and they are not made twice"));
    return status;
  }
  bool shows_progress() const { return context_.surroundings.err_is_terminal && !context_.terminal.json; }
  void ShowProgress(size_t done) const {
    if (shows_progress()) context_.terminal.err << "\rimported " << done << " of " << all_.size() << std::flush;
  }

  CommandContext& context_;
  const ReadAlerts read_;
  const std::vector<ReadAlert>& all_;
  const std::string& name_;
  std::map<std::string, int64_t> occurrences_;
};

// The whole file is read before anything is made: what is wrong with it is told first.
absl::Status ImportAlerts(CommandContext& context, const Flags& flags) {
  STOCKALERT_ASSIGN_OR_RETURN(const TransferFormat format, FormatOf(flags));
  std::ifstream file;
  if (flags.file != "-") {
    file.open(flags.file, std::ios::binary);
    if (!file) return WrongUsage(flags.file + " cannot be read");
  }
  std::istream& in = flags.file == "-" ? context.surroundings.in : file;
  STOCKALERT_ASSIGN_OR_RETURN(ReadAlerts all, ReadAll(in, format));
  return Import(context, std::move(all), flags.name).Run();
}

absl::Status ExportAlerts(CommandContext& context, const Flags& flags) {
  Flags chosen = flags;
  if (chosen.format.empty()) chosen.format = context.terminal.json ? "json" : "csv";
  STOCKALERT_ASSIGN_OR_RETURN(const TransferFormat format, FormatOf(chosen));
  alert_v1::ListAlertsRequest request;
  request.set_parent(kOwn);
  request.set_symbol(flags.symbol);
  STOCKALERT_ASSIGN_OR_RETURN(
      const auto alerts, context.List(&Alerts::ListAlerts, request, 0, &alert_v1::ListAlertsResponse::mutable_alerts));
  AlertWriter writer(context.terminal.out, format);
  // The oldest first, as they were made; those that have expired could not be made again.
  for (auto alert = alerts.rbegin(); alert != alerts.rend(); ++alert) {
    if (alert->state() != alert_v1::Alert::STATE_EXPIRED) writer.Write(*alert);
  }
  context.terminal.out << std::flush;
  return absl::OkStatus();
}

}  // namespace

void DeclareTransfer(CLI::App& alert, CommandContext& context) {
  const auto flags = std::make_shared<Flags>();
  CLI::App& importing =
      context.Command(alert, "import", "make alerts from a file; again, it goes on where it was interrupted",
                      [&context, flags] { return ImportAlerts(context, *flags); });
  importing
      .add_option("file", flags->file, "a .csv with the flags of `alert create` as columns, or a .jsonl; -: stdin")
      ->required();
  importing.add_option("--name", flags->name, "by another name the same file is imported once more");
  CLI::App& exporting =
      context.Command(alert, "export", "print your alerts as `import` reads them, the oldest first",
                      [&context, flags] { return ExportAlerts(context, *flags); }, {{"symbol", "--symbol"}});
  exporting.add_option("--symbol", flags->symbol, "only on this symbol");
  for (CLI::App* command : {&importing, &exporting}) {
    command->add_option("--format", flags->format, "csv or json (a line an alert)")
        ->check(CLI::IsMember({"csv", "json"}));
  }
}

}  // namespace stockalert::client
