#include "services/fetcher/finnhub_json.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "services/domain/price/decimal.h"

namespace stockalert::fetcher {
namespace {

using Json = nlohmann::json;

constexpr size_t kDepthMax = 16;

// Builds a document in which each number is a string of its digits.
class ExactReader final : public nlohmann::json_sax<Json> {
 public:
  Json& document() { return document_; }

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Put(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return Put(text); }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  Json* Place(Json value) {
    if (open_.empty()) {
      document_ = std::move(value);
      return &document_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool Put(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json value) {
    if (open_.size() >= kDepthMax) return false;
    // Growing an array moves its elements, but only the last one is ever open.
    open_.push_back(Place(std::move(value)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  Json document_;
  std::vector<Json*> open_;
  std::string key_;
};

absl::StatusOr<Json> Read(std::string_view text) {
  ExactReader reader;
  if (!Json::sax_parse(text, &reader) || !reader.document().is_object()) {
    return absl::InvalidArgumentError("the reply is no JSON object");
  }
  return std::move(reader.document());
}

std::optional<std::string> TextOf(const Json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<int64_t> PriceOf(const Json& object, const char* field) {
  const std::optional<std::string> text = TextOf(object, field);
  if (!text) return std::nullopt;
  const absl::StatusOr<int64_t> micros = price::ParseJsonNumberMicros(*text);
  if (!micros.ok() || !price::IsValidPriceMicros(*micros)) return std::nullopt;
  return *micros;
}

// Whole `unit`s into microseconds; 0 for what is no such time.
int64_t TimeOf(const Json& object, const char* field, int64_t unit_us) {
  const std::optional<std::string> text = TextOf(object, field);
  int64_t count = 0;
  if (!text || !absl::SimpleAtoi(*text, &count) || count <= 0 || count > std::numeric_limits<int64_t>::max() / unit_us)
    return 0;
  return count * unit_us;
}

}  // namespace

absl::StatusOr<RestQuote> ParseRestQuote(std::string_view json) {
  absl::StatusOr<Json> reply = Read(json);
  if (!reply.ok()) return reply.status();
  if (reply->find("c") == reply->end()) return absl::InvalidArgumentError("the reply has no field c");
  RestQuote quote;
  quote.current_micros = PriceOf(*reply, "c");
  quote.open_micros = PriceOf(*reply, "o");
  quote.high_micros = PriceOf(*reply, "h");
  quote.low_micros = PriceOf(*reply, "l");
  quote.previous_close_micros = PriceOf(*reply, "pc");
  quote.time_us = TimeOf(*reply, "t", 1'000'000);
  const auto change = reply->find("d");
  quote.looks_unknown = !quote.current_micros && (change == reply->end() || change->is_null());
  return quote;
}

absl::StatusOr<std::vector<std::string>> ParseSearch(std::string_view json) {
  absl::StatusOr<Json> reply = Read(json);
  if (!reply.ok()) return reply.status();
  const auto result = reply->find("result");
  if (result == reply->end() || !result->is_array()) return absl::InvalidArgumentError("the reply has no field result");
  std::vector<std::string> symbols;
  for (const Json& entry : *result) {
    if (!entry.is_object()) continue;
    for (const char* field : {"symbol", "displaySymbol"}) {
      if (auto symbol = TextOf(entry, field)) symbols.push_back(*std::move(symbol));
    }
  }
  return symbols;
}

absl::StatusOr<StreamMessage> ParseStreamMessage(std::string_view json) {
  absl::StatusOr<Json> read = Read(json);
  if (!read.ok()) return read.status();
  StreamMessage message;
  const std::string type = TextOf(*read, "type").value_or("");
  if (type == "ping") message.kind = StreamMessage::Kind::kPing;
  if (type == "error") {
    message.kind = StreamMessage::Kind::kError;
    message.error = TextOf(*read, "msg").value_or("").substr(0, 200);
  }
  if (type == "trade") {
    message.kind = StreamMessage::Kind::kTrades;
    const auto data = read->find("data");
    if (data == read->end() || !data->is_array()) return message;
    for (const Json& entry : *data) {
      if (!entry.is_object()) continue;
      StreamTrade trade;
      trade.symbol = TextOf(entry, "s").value_or("");
      trade.price_micros = PriceOf(entry, "p");
      trade.time_us = TimeOf(entry, "t", 1'000);
      message.trades.push_back(std::move(trade));
    }
  }
  return message;
}

}  // namespace stockalert::fetcher
