#include "tests/support/chat_services/chat_services.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "services/common/base/monotonic_clock.h"

namespace stockalert::testing {
namespace {

using Json = nlohmann::json;

// What is wrong with a request; empty: nothing.
struct Judged {
  std::string fault;
  std::string text;
  int priority = 0;
};

// A busy machine delivers late, so that two requests may come closer than they were sent: what is enforced is half of
// what is documented for one a second.
constexpr absl::Duration kHalfSecond = absl::Milliseconds(500);

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string TextAt(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// Slack's three escapes undone; a '<' that is there before is a mention or a link.
std::string PlainOfSlack(const std::string& text, Judged& judged) {
  if (absl::StrContains(text, '<')) judged.fault = "slack: an unescaped <";
  return absl::StrReplaceAll(text, {{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}});
}

Judged JudgeSlack(const Json& body) {
  Judged judged;
  const auto text = [&](const Json& object, size_t most) {
    const std::string raw = TextAt(object, "text");
    if (raw.empty() || CodePoints(raw) > most) judged.fault = absl::StrCat("slack: a text of ", CodePoints(raw));
    absl::StrAppend(&judged.text, PlainOfSlack(raw, judged), "\n");
  };
  for (const Json& block : body.value("blocks", Json::array())) {
    const bool header = TextAt(block, "type") == "header";
    if (block.contains("text")) text(block["text"], header ? 150 : 3000);
    const Json fields = block.value("fields", Json::array());
    if (fields.size() > 10) judged.fault = "slack: more than 10 fields";
    for (const Json& field : fields) text(field, 2000);
  }
  PlainOfSlack(TextAt(body, "text"), judged);
  if (TextAt(body, "text").size() > 40'000) judged.fault = "slack: text";
  return judged;
}

Judged JudgeDiscord(const Json& body) {
  Judged judged;
  judged.text = TextAt(body, "content");
  if (judged.text.empty() || CodePoints(judged.text) > 2000) judged.fault = "discord: content";
  if (body.value("allowed_mentions", Json()) != Json{{"parse", Json::array()}}) judged.fault = "discord: mentions";
  size_t all = 0;
  for (const Json& embed : body.value("embeds", Json::array())) {
    const std::string description = TextAt(embed, "description");
    if (CodePoints(description) > 4096) judged.fault = "discord: description";
    all += CodePoints(description) + CodePoints(TextAt(embed, "title"));
    absl::StrAppend(&judged.text, "\n", description);
    const Json fields = embed.value("fields", Json::array());
    if (fields.size() > 25) judged.fault = "discord: fields";
    for (const Json& field : fields) {
      const std::string name = TextAt(field, "name");
      const std::string value = TextAt(field, "value");
      if (name.empty() || CodePoints(name) > 256 || value.empty() || CodePoints(value) > 1024)
        judged.fault = "discord: a field";
      all += CodePoints(name) + CodePoints(value);
      absl::StrAppend(&judged.text, "\n", name, ": ", value);
    }
  }
  if (all > 6000) judged.fault = "discord: embeds";
  return judged;
}

Judged JudgeTelegram(const Json& body) {
  Judged judged;
  std::string text = TextAt(body, "text");
  if (TextAt(body, "parse_mode") == "HTML") {
    text = absl::StrReplaceAll(text, {{"<b>", ""}, {"</b>", ""}});
    if (absl::StrContains(text, '<') || absl::StrContains(text, '>')) judged.fault = "telegram: can't parse entities";
    text = absl::StrReplaceAll(text, {{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}});
  }
  if (text.empty() || CodePoints(text) > 4096) judged.fault = "telegram: message is too long";
  static const std::regex mention("@[A-Za-z0-9_]{5,}");
  if (std::regex_search(text, mention)) judged.fault = "telegram: a mention";
  if (TextAt(body, "chat_id").empty()) judged.fault = "telegram: chat_id is empty";
  judged.text = std::move(text);
  return judged;
}

Judged JudgeNtfy(const Json& body) {
  Judged judged;
  static const std::regex topic("[-_A-Za-z0-9]{1,64}");
  if (!std::regex_match(TextAt(body, "topic"), topic)) judged.fault = "ntfy: topic";
  if (TextAt(body, "message").size() > 4096) judged.fault = "ntfy: message";
  if (TextAt(body, "title").size() > 1024) judged.fault = "ntfy: title";
  judged.priority = body.value("priority", 0);
  if (judged.priority < 1 || judged.priority > 5) judged.fault = "ntfy: priority";
  judged.text = absl::StrCat(TextAt(body, "title"), "\n", TextAt(body, "message"));
  return judged;
}

std::string DecodedOfForm(std::string_view encoded) {
  std::string text;
  for (size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] == '%' && i + 2 < encoded.size()) {
      text += static_cast<char>(std::stoi(std::string(encoded.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      text += encoded[i] == '+' ? ' ' : encoded[i];
    }
  }
  return text;
}

Judged JudgePushover(const std::string& form) {
  std::map<std::string, std::string> fields;
  for (const absl::string_view pair : absl::StrSplit(form, '&')) {
    const std::pair<std::string, std::string> named = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    fields[named.first] = DecodedOfForm(named.second);
  }
  Judged judged;
  if (fields["token"].size() != 30) judged.fault = "pushover: token";
  if (fields["user"].size() != 30) judged.fault = "pushover: user";
  if (CodePoints(fields["title"]) > 250) judged.fault = "pushover: title";
  if (fields["message"].empty() || CodePoints(fields["message"]) > 1024) judged.fault = "pushover: message";
  judged.priority = std::atoi(fields["priority"].c_str());
  judged.text = absl::StrCat(fields["title"], "\n", fields["message"]);
  return judged;
}

Judged JudgeTeams(const Json& body, size_t size) {
  Judged judged;
  if (size * 2 > 28 * 1024) judged.fault = "teams: more than 28 KB in UTF-16";
  const Json attachments = body.value("attachments", Json::array());
  if (TextAt(body, "type") != "message" || attachments.size() != 1) judged.fault = "teams: no message";
  for (const Json& attachment : attachments) {
    if (TextAt(attachment, "contentType") != "application/vnd.microsoft.card.adaptive") judged.fault = "teams: no card";
    for (const Json& block : attachment.value("content", Json::object()).value("body", Json::array())) {
      for (const Json& run : block.value("inlines", Json::array())) absl::StrAppend(&judged.text, TextAt(run, "text"));
      absl::StrAppend(&judged.text, "\n");
    }
  }
  return judged;
}

Judged JudgeApprise(const Json& body) {
  Judged judged;
  const Json urls = body.value("urls", Json());
  if (!urls.is_array() || urls.empty()) judged.fault = "Payload lacks minimum requirements";
  const std::string text = TextAt(body, "body");
  if (text.empty()) judged.fault = "Payload lacks minimum requirements";
  const std::string type = TextAt(body, "type");
  if (type != "info" && type != "success" && type != "warning" && type != "failure")
    judged.fault = "Payload lacks minimum requirements";
  if (TextAt(body, "format") != "text") judged.fault = "An invalid body input format was specified";
  judged.text = absl::StrCat(TextAt(body, "title"), "\n", text);
  static const std::regex mention("@[A-Za-z0-9_]|<[!@#]");
  if (std::regex_search(judged.text, mention)) judged.fault = "a mention, which a service behind Apprise would follow";
  judged.priority = type == "warning" ? 1 : 0;
  return judged;
}

std::string PathOf(const ReceivedRequest& request) {
  const std::vector<std::string> words = absl::StrSplit(request.head.substr(0, request.head.find("\r\n")), ' ');
  return words.size() > 1 ? words[1] : "";
}

std::string ServiceOf(const std::string& path) {
  if (absl::StartsWith(path, "/services/")) return "slack";
  if (absl::StartsWith(path, "/api/webhooks/")) return "discord";
  if (absl::StartsWith(path, "/bot")) return "telegram";
  if (absl::StartsWith(path, "/workflows/")) return "teams";
  if (path == "/1/messages.json") return "pushover";
  if (path == "/notify/") return "apprise";
  return path == "/" ? "ntfy" : "";
}

std::string JsonAnswer(int status, const Json& body, const std::string& headers = "") {
  return Answer(status, absl::StrCat("Content-Type: application/json\r\n", headers), body.dump());
}

std::string Taken(const std::string& service) {
  if (service == "slack") return Answer(200, "Content-Type: text/html\r\n", "ok");
  if (service == "teams") return Answer(202);
  if (service == "telegram") return JsonAnswer(200, {{"ok", true}, {"result", {{"message_id", 1}}}});
  if (service == "pushover") return JsonAnswer(200, {{"status", 1}, {"request", "r"}});
  if (service == "apprise") return JsonAnswer(200, {{"error", nullptr}, {"details", Json::array()}});
  return JsonAnswer(200, {{"id", "1"}});
}

std::string Faulty(const std::string& service, const std::string& fault) {
  if (service == "slack") return Answer(400, "", "invalid_payload");
  if (service == "telegram") {
    return JsonAnswer(400, {{"ok", false}, {"error_code", 400}, {"description", absl::StrCat("Bad Request: ", fault)}});
  }
  if (service == "pushover") return JsonAnswer(400, {{"status", 0}, {"errors", Json::array({fault})}});
  if (service == "apprise") return JsonAnswer(400, {{"error", fault}});
  if (service == "discord") return JsonAnswer(400, {{"code", 50035}, {"message", "Invalid Form Body"}});
  if (service == "teams") {
    return Answer(200, "",
                  "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413");
  }
  return JsonAnswer(400, {{"code", 40024}, {"http", 400}, {"error", fault}});
}

std::string TooMany(const std::string& service) {
  if (service == "slack") return Answer(429, "Retry-After: 1\r\n", "rate_limited");
  if (service == "discord") {
    return JsonAnswer(429, {{"message", "You are being rate limited."}, {"retry_after", 0.7}, {"global", false}},
                      "Retry-After: 1\r\n");
  }
  if (service == "telegram") {
    return JsonAnswer(429, {{"ok", false},
                            {"error_code", 429},
                            {"description", "Too Many Requests: retry after 1"},
                            {"parameters", {{"retry_after", 1}}}});
  }
  return Answer(429, "Retry-After: 1\r\n");
}

}  // namespace

ChatServices::ChatServices()
    : begin_(base::MonotonicNow()), receiver_([this](ReceiverConnection& connection) { Serve(connection); }) {}

std::string ChatServices::origin() const { return absl::StrCat("http://127.0.0.1:", receiver_.port()); }

void ChatServices::Serve(ReceiverConnection& connection) {
  while (const std::optional<ReceivedRequest> request = connection.Read()) {
    if (!connection.Write(Reply(*request))) return;
  }
}

bool ChatServices::TakeTurn(const std::string& key, const Rate& rate, absl::Duration now) {
  std::deque<absl::Duration>& turns = turns_[key];
  while (!turns.empty() && turns.front() + rate.within <= now) turns.pop_front();
  if (static_cast<int>(turns.size()) >= rate.most) return false;
  turns.push_back(now);
  return true;
}

std::string ChatServices::Reply(const ReceivedRequest& request) {
  const std::string path = PathOf(request);
  const std::string service = ServiceOf(path);
  const std::map<std::string, Rate> rates = {
      {"slack", {1, kHalfSecond}}, {"telegram", {1, kHalfSecond}}, {"discord", {5, absl::Seconds(2)}}};
  const absl::Duration now = base::MonotonicNow() - begin_;
  base::MutexLock lock(mutex_);
  ++requests_[service];
  if (std::deque<std::string>& next = next_[service]; !next.empty()) {
    const std::string answer = next.front();
    next.pop_front();
    return answer;
  }
  if (service.empty()) return Answer(404);
  const auto rate = rates.find(service);
  if (rate != rates.end() && !TakeTurn(path, rate->second, now)) {
    violations_.push_back(absl::StrCat(service, ": too many requests"));
    return TooMany(service);
  }
  Judged judged;
  if (service == "pushover") {
    judged = JudgePushover(request.body);
  } else {
    const Json body = Json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!body.is_object()) judged.fault = absl::StrCat(service, ": no JSON");
    if (service == "slack") judged = JudgeSlack(body);
    if (service == "discord") judged = JudgeDiscord(body);
    if (service == "telegram") judged = JudgeTelegram(body);
    if (service == "ntfy") judged = JudgeNtfy(body);
    if (service == "apprise") judged = JudgeApprise(body);
    if (service == "teams") judged = JudgeTeams(body, request.body.size());
  }
  if (!judged.fault.empty()) {
    violations_.push_back(judged.fault);
    return Faulty(service, judged.fault);
  }
  messages_.push_back({service, path, judged.text, judged.priority, now});
  return Taken(service);
}

std::vector<ChatMessage> ChatServices::messages() const {
  base::MutexLock lock(mutex_);
  return messages_;
}

std::vector<ChatMessage> ChatServices::MessagesOf(const std::string& service) const {
  std::vector<ChatMessage> found = messages();
  std::erase_if(found, [&](const ChatMessage& message) { return message.service != service; });
  return found;
}

std::vector<std::string> ChatServices::violations() const {
  base::MutexLock lock(mutex_);
  return violations_;
}

int ChatServices::requests(const std::string& service) const {
  base::MutexLock lock(mutex_);
  const auto found = requests_.find(service);
  return found == requests_.end() ? 0 : found->second;
}

void ChatServices::AnswerNext(const std::string& service, const std::string& answer) {
  base::MutexLock lock(mutex_);
  next_[service].push_back(answer);
}

}  // namespace stockalert::testing
