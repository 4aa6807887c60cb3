#include "services/notifier/delivery/kinds/message_template.h"

#include <algorithm>
#include <exception>
#include <kainjow/mustache.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/domain/message/webhook_message.h"
#include "services/notifier/delivery/kinds/text_fit.h"

namespace stockalert::notifier {
namespace {

using Json = nlohmann::json;
namespace mustache = kainjow::mustache;

std::string EscapeForJson(const std::string& text) {
  const std::string quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

std::string EscapeForMarkup(const std::string& text) {
  return EscapeAll(text, [](std::string_view code_point) -> std::string {
    if (code_point == "\"") return "&quot;";
    if (code_point == "'") return "&#39;";
    return EscapeMarkup(code_point);
  });
}

std::string Escaped(TemplateEscape escape, const std::string& text) {
  switch (escape) {
    case TemplateEscape::kNone:
      return text;
    case TemplateEscape::kJson:
      return EscapeForJson(text);
    case TemplateEscape::kForm:
      return EncodeForForm(text);
    case TemplateEscape::kMarkup:
      return EscapeForMarkup(text);
  }
  return text;
}

void Add(const std::string& name, const Json& value, mustache::data& data) {
  if (value.is_boolean()) {
    data.set(name, mustache::data(value.get<bool>()));
  } else if (value.is_string()) {
    if (!value.get_ref<const std::string&>().empty()) data.set(name, value.get<std::string>());
  } else if (value.is_number_integer()) {
    data.set(name, absl::StrCat(value.get<int64_t>()));
  }
}

mustache::data DataOf(const message::Notice& notice, const std::string& id) {
  mustache::data data;
  const Json message = Json::parse(message::WebhookMessage(notice), nullptr, /*allow_exceptions=*/false);
  for (const auto& [name, value] : message.items()) Add(name, value, data);
  if (const auto found = message.find("data"); found != message.end()) {
    for (const auto& [name, value] : found->items()) Add(name, value, data);
  }
  data.set("id", id);
  data.set("critical", mustache::data(notice.critical));
  return data;
}

// The library takes a text for a template where a partial has its name: a note could name itself without end.
class WithoutPartials final : public mustache::context<std::string> {
 public:
  using context::context;
  const mustache::data* get_partial(const std::string& /*name*/) const override { return nullptr; }
};

// What is too much is dropped as it comes, so that it takes no memory.
struct BoundedText {
  std::string text;
  bool fits = true;
  BoundedText& operator<<(const std::string& part) {
    fits = fits && text.size() + part.size() <= kRenderedBytesMax;
    if (fits) text += part;
    return *this;
  }
};

absl::Status Unparsable(const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("is not a Mustache template: ", why));
}

// The library throws nothing on purpose, but works with strings and callbacks that may.
template <typename Function>
auto Guarded(const Function& function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::exception& error) {
    return Unparsable(error.what());
  }
}

}  // namespace

TemplateEscape EscapeFor(std::string_view content_type) {
  const std::string type =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(base::ToAbsl(content_type.substr(0, content_type.find(';')))));
  if (type == "application/json" || absl::EndsWith(type, "+json")) return TemplateEscape::kJson;
  if (type == "application/x-www-form-urlencoded") return TemplateEscape::kForm;
  if (type == "text/html" || type == "text/xml" || type == "application/xml" || absl::EndsWith(type, "+xml"))
    return TemplateEscape::kMarkup;
  return TemplateEscape::kNone;
}

size_t CharactersIn(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

absl::Status CheckTemplate(const std::string& text) {
  return Guarded([&]() -> absl::Status {
    const mustache::mustache parsed(text);
    return parsed.is_valid() ? absl::OkStatus() : Unparsable(parsed.error_message());
  });
}

absl::StatusOr<std::string> RenderTemplate(const std::string& text, TemplateEscape escape,
                                           const message::Notice& notice, const std::string& id) {
  return Guarded([&]() -> absl::StatusOr<std::string> {
    mustache::mustache parsed(text);
    if (!parsed.is_valid()) return Unparsable(parsed.error_message());
    parsed.set_custom_escape([escape](const std::string& value) { return Escaped(escape, value); });
    const mustache::data data = DataOf(notice, id);
    WithoutPartials context(&data);
    BoundedText rendered;
    parsed.render(context, rendered);
    if (!rendered.fits) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the body would have more than ", kRenderedBytesMax, " bytes: shorten the template"));
    }
    return std::move(rendered.text);
  });
}

}  // namespace stockalert::notifier
