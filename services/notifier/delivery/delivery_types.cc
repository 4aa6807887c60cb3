#include "services/notifier/delivery/delivery_types.h"

namespace stockalert::notifier {

std::string WebhookId(std::string_view delivery_id) {
  std::string id = "msg_";
  for (const char c : delivery_id) {
    if (c != '-') id += c;
  }
  return id;
}

}  // namespace stockalert::notifier
