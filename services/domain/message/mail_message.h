// The content of a mail: a subject, and the same words as text and as HTML. Pure and thread-safe.
#pragma once

#include <optional>
#include <string>

#include "services/domain/message/notification_text.h"

namespace stockalert::message {

// Valid UTF-8; lines end with CRLF.
struct MailMessage {
  std::string subject;  // One line, to be encoded by whoever writes the header.
  std::string text;
  std::string html;
};

// What the HTML shows between the words and the fields.
struct MailImage {
  std::string url;
  std::string alt;  // For those who do not see it.
  int width = 0;    // In points, as the next; a narrow screen shows it smaller.
  int height = 0;
};

// The words may hold anything: control characters and invalid UTF-8 are left out, and nothing is markup. Texts of more
// than 8 KiB are cut. `footer`: a line for people about this kind of mail, at the end.
MailMessage MailMessageOf(const NotificationText& words, const std::string& footer,
                          const std::optional<MailImage>& image = std::nullopt);

}  // namespace stockalert::message
