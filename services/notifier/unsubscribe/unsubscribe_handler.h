// What the links in mails lead to (RFC 8058): a POST to /unsubscribe/TOKEN disables the destination, a GET shows a page
// with a button that does so, and changes nothing: programs that scan mails follow links.
//
// Thread-safe; calls block as the store does. Any token that is not one for a destination as it is now gets the same
// 404.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "services/common/secrets/secret_box.h"
#include "services/notifier/delivery/delivery_types.h"

namespace stockalert::notifier {

struct PageRequest {
  std::string method;  // "POST"
  std::string target;  // The path, perhaps with a query.
  std::string content_type;
  std::string body;
};

struct PageAnswer {
  int status = 200;
  std::string html;
};

class UnsubscribeHandler {
 public:
  // Disables the destination if `is_meant` says so: DestinationLogic::Unsubscribe.
  using Unsubscribe = std::function<absl::Status(const std::string& user_id, const std::string& destination_id,
                                                 const std::function<bool(const Destination&)>& is_meant)>;

  // `secrets` must outlive it.
  UnsubscribeHandler(const secrets::SecretBox& secrets, Unsubscribe unsubscribe);

  PageAnswer Handle(const PageRequest& request) const;

 private:
  PageAnswer Post(const PageRequest& request, std::string_view token) const;

  const secrets::SecretBox& secrets_;
  const Unsubscribe unsubscribe_;
};

// Whether the body of a form says that one click unsubscribes.
bool IsOneClick(std::string_view content_type, std::string_view body);

// A page for people: a title, a sentence, and, below, more HTML.
std::string UnsubscribePage(std::string_view title, std::string_view text, std::string_view more = "");

}  // namespace stockalert::notifier
