#include "services/domain/message/mail_message.h"

#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/base/text.h"

namespace stockalert::message {
namespace {

constexpr size_t kTextBytesMax = 8192;
constexpr char kLineEnd[] = "\r\n";
constexpr char kBodyStyle[] =
    "margin:0;padding:24px;font-family:sans-serif;font-size:16px;line-height:1.5;color:#1a1a1a";
constexpr char kTitleStyle[] = "margin:0 0 12px;font-size:20px";
constexpr char kTextStyle[] = "margin:0 0 16px";
constexpr char kImageStyle[] = "display:block;max-width:100%;height:auto;border:0";
constexpr char kTableStyle[] = "border-collapse:collapse;margin:0 0 16px";
constexpr char kNameStyle[] = "text-align:left;font-weight:normal;padding:2px 16px 2px 0;color:#666666";
constexpr char kValueStyle[] = "padding:2px 0";
constexpr char kFooterStyle[] = "margin:0;font-size:13px;color:#666666";

// The lines of a text, whatever ends them, without control characters.
std::vector<std::string> LinesOf(std::string_view text) {
  std::vector<std::string> lines(1);
  const std::string kept = base::StorableText(text, kTextBytesMax);
  for (size_t i = 0; i < kept.size(); ++i) {
    const char c = kept[i];
    if (c == '\n' || c == '\r') {
      if (c == '\r' && i + 1 < kept.size() && kept[i + 1] == '\n') ++i;
      lines.emplace_back();
    } else if (c == '\t') {
      lines.back() += ' ';
    } else if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      lines.back() += c;
    }
  }
  return lines;
}

std::string JoinedBy(const char* between, const std::vector<std::string>& lines) {
  std::string joined;
  for (const std::string& line : lines) absl::StrAppend(&joined, &line == &lines.front() ? "" : between, line);
  return joined;
}

std::string OneLine(std::string_view text) { return JoinedBy(" ", LinesOf(text)); }

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string TextOfMail(const NotificationText& words, const std::string& footer) {
  std::string text =
      absl::StrCat(OneLine(words.title), kLineEnd, kLineEnd, JoinedBy(kLineEnd, LinesOf(words.text)), kLineEnd);
  if (!words.fields.empty()) text += kLineEnd;
  for (const TextField& field : words.fields)
    absl::StrAppend(&text, OneLine(field.name), ": ", OneLine(field.value), kLineEnd);
  // What mail programs take for the beginning of a signature (RFC 3676, 4.3).
  if (!footer.empty()) absl::StrAppend(&text, kLineEnd, "-- ", kLineEnd, OneLine(footer), kLineEnd);
  return text;
}

std::string HtmlOfImage(const MailImage& image) {
  return absl::StrCat("<p style=\"", kTextStyle, "\"><img src=\"", Escaped(OneLine(image.url)), "\" alt=\"",
                      Escaped(OneLine(image.alt)), "\" width=\"", image.width, "\" height=\"", image.height,
                      "\" style=\"", kImageStyle, "\"></p>", kLineEnd);
}

std::string HtmlOfMail(const NotificationText& words, const std::string& footer,
                       const std::optional<MailImage>& image) {
  std::vector<std::string> lines;
  for (const std::string& line : LinesOf(words.text)) lines.push_back(Escaped(line));
  std::string html = absl::StrCat("<!DOCTYPE html>", kLineEnd, "<html><head><meta charset=\"utf-8\"></head>", kLineEnd,
                                  "<body style=\"", kBodyStyle, "\">", kLineEnd);
  absl::StrAppend(&html, "<h1 style=\"", kTitleStyle, "\">", Escaped(OneLine(words.title)), "</h1>", kLineEnd);
  absl::StrAppend(&html, "<p style=\"", kTextStyle, "\">", JoinedBy("<br>\r\n", lines), "</p>", kLineEnd);
  if (image) html += HtmlOfImage(*image);
  if (!words.fields.empty()) absl::StrAppend(&html, "<table style=\"", kTableStyle, "\">", kLineEnd);
  for (const TextField& field : words.fields) {
    absl::StrAppend(&html, "<tr><th scope=\"row\" style=\"", kNameStyle, "\">", Escaped(OneLine(field.name)), "</th>");
    absl::StrAppend(&html, "<td style=\"", kValueStyle, "\">", Escaped(OneLine(field.value)), "</td></tr>", kLineEnd);
  }
  if (!words.fields.empty()) absl::StrAppend(&html, "</table>", kLineEnd);
  if (!footer.empty())
    absl::StrAppend(&html, "<p style=\"", kFooterStyle, "\">", Escaped(OneLine(footer)), "</p>", kLineEnd);
  return absl::StrCat(html, "</body></html>", kLineEnd);
}

}  // namespace

MailMessage MailMessageOf(const NotificationText& words, const std::string& footer,
                          const std::optional<MailImage>& image) {
  return {OneLine(words.title), TextOfMail(words, footer), HtmlOfMail(words, footer, image)};
}

}  // namespace stockalert::message
