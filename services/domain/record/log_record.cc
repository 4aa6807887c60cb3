#include "services/domain/record/log_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "services/common/base/ids.h"
#include "services/domain/record/definition_codec.h"

namespace stockalert::record {
namespace {

namespace pb = ::stockalert::internal::v1;

// What the database can hold and people can read; the ticker service's own rule is narrower.
bool IsSymbol(const std::string& symbol) {
  return !symbol.empty() && symbol.size() <= 64 && symbol.find('\0') == std::string::npos;
}

ReadRecord Malformed(ReadRecord read, absl::string_view problem) {
  read.soundness = Soundness::kMalformedQuote;
  read.problem = std::string(problem);
  return read;
}

ReadRecord Undecodable(ReadRecord read, absl::string_view problem) {
  read.soundness = Soundness::kUndecodable;
  read.problem = std::string(problem);
  return read;
}

}  // namespace

ReadRecord ReadLogRecord(std::string_view key, std::string_view value) {
  ReadRecord read;
  if (!read.record.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return Undecodable(std::move(read), "the bytes are no log record");
  }
  switch (read.record.kind_case()) {
    case pb::LogRecord::kQuote: {
      const pb::QuoteRecord& quote = read.record.quote();
      if (!IsSymbol(quote.symbol()))
        return Malformed(std::move(read), "a quote without a symbol, or with none that could be one");
      if (quote.symbol() != key) return Malformed(std::move(read), "a quote whose symbol is not the record's key");
      if (!DecodeSession(quote.session()).ok()) return Malformed(std::move(read), "a quote without a known session");
      if (quote.publisher_epoch() < 0 || quote.sequence() < 0) {
        return Malformed(std::move(read), "a quote with a negative epoch or sequence");
      }
      break;
    }
    case pb::LogRecord::kAlertChange: {
      const pb::AlertChangeRecord& change = read.record.alert_change();
      if (!base::IsUuid(change.alert_id())) return Undecodable(std::move(read), "a change whose alert id is no UUID");
      if (!IsSymbol(change.symbol()) || change.symbol() != key) {
        return Undecodable(std::move(read), "a change whose symbol is not the record's key");
      }
      if (change.revision() < 1 || change.armed_revision() < 1 || change.armed_revision() > change.revision()) {
        return Undecodable(std::move(read), "a change with revisions that cannot be");
      }
      if (!change.deleted()) {
        if (const auto definition = DecodeDefinition(change.definition()); !definition.ok()) {
          return Undecodable(std::move(read), definition.status().message());
        }
      }
      break;
    }
    case pb::LogRecord::kRestart:
      if (!IsSymbol(read.record.restart().symbol()) || read.record.restart().symbol() != key) {
        return Undecodable(std::move(read), "a restart whose symbol is not the record's key");
      }
      break;
    case pb::LogRecord::KIND_NOT_SET:
      return Undecodable(std::move(read), "a record of an unknown kind: the evaluators have to be upgraded first");
  }
  read.soundness = Soundness::kSound;
  return read;
}

}  // namespace stockalert::record
