// Mailboxes, to which the operator's mail server delivers.
//
// A mail about a trigger has a picture of the last prices, where there are some when it is sent. The Message-ID and all
// else are the same at each attempt, so that a mailbox that gets a mail twice can show
// it once. A mailbox that the server does not know disables its destination, as a 410 does a webhook.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "services/notifier/delivery/kinds/destination_kind.h"

namespace stockalert::notifier {

inline constexpr char kReasonMailOff[] = "MAIL_OFF";

// In whose name mails are sent. Addresses, and the name shown beside `from`.
struct MailIdentity {
  std::string from;
  std::string from_name;
  std::string unsubscribe;  // Where mail programs send a request to stop.
  // The URL that does so at once, for a destination of a user and its address. Empty: there is none.
  std::function<std::string(const std::string& user_id, const std::string& destination_id, const std::string& address)>
      unsubscribe_url = {};
};

// None: the operator has configured no mail server. Then Check is FAILED_PRECONDITION (MAIL_OFF), and nothing can be
// composed.
std::unique_ptr<const DestinationKind> MakeEmailKind(const std::optional<MailIdentity>& identity);

}  // namespace stockalert::notifier
