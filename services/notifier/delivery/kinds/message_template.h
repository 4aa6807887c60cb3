// Mustache templates (https://mustache.github.io/mustache.5.html) for the bodies of requests.
//
// The fields are those of a webhook's message (docs/delivery.md), without `data.`; empty ones are absent. There are no
// partials: they are empty. Pure and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/domain/message/notice.h"

namespace stockalert::notifier {

// In characters.
inline constexpr size_t kTemplateMax = 10'000;
inline constexpr size_t kTitleTemplateMax = 1'000;
inline constexpr size_t kRenderedBytesMax = size_t{64} * 1024;

// Of UTF-8.
size_t CharactersIn(std::string_view text);

// How the values of `{{name}}` are escaped.
enum class TemplateEscape : uint8_t { kNone, kJson, kForm, kMarkup };

// By the media type: JSON, a form, XML or HTML; others: none.
TemplateEscape EscapeFor(std::string_view content_type);

// INVALID_ARGUMENT: it cannot be parsed; the message says what is wrong, and where.
absl::Status CheckTemplate(const std::string& text);

// RESOURCE_EXHAUSTED: the result would have more than kRenderedBytesMax bytes. INVALID_ARGUMENT: as CheckTemplate.
absl::StatusOr<std::string> RenderTemplate(const std::string& text, TemplateEscape escape,
                                           const message::Notice& notice, const std::string& id);

}  // namespace stockalert::notifier
