#include "services/common/process/health_check.h"

#include <httplib.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/status_macros.h"
#include "services/common/config/address.h"

namespace stockalert::process {

absl::Status CheckHealth(const std::string& http_address) {
  STOCKALERT_ASSIGN_OR_RETURN(const config::Address address, config::ParseAddress(http_address));
  if (address.port == 0)
    return absl::InvalidArgumentError("--http_address has port 0, which is another one at each start");
  const std::string host = address.host == "0.0.0.0" ? "127.0.0.1" : address.host == "::" ? "::1" : address.host;
  httplib::Client client(host, address.port);
  client.set_connection_timeout(1, 0);
  client.set_write_timeout(0, 300'000);
  client.set_read_timeout(1, 500'000);
  const httplib::Result answer = client.Get("/readyz");
  if (!answer) {
    return absl::UnavailableError(
        absl::StrCat("http://", http_address, "/readyz does not answer: ", httplib::to_string(answer.error())));
  }
  if (answer->status == 200) return absl::OkStatus();
  return absl::UnavailableError(absl::StripAsciiWhitespace(answer->body));
}

}  // namespace stockalert::process
