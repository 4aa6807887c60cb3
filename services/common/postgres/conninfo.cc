#include "services/common/postgres/conninfo.h"

#include <libpq-fe.h>

namespace stockalert::postgres {

absl::StatusOr<std::map<std::string, std::string>> ParseConninfo(const std::string& url) {
  char* why = nullptr;
  PQconninfoOption* parsed = PQconninfoParse(url.c_str(), &why);
  if (parsed == nullptr) {
    // libpq's text may quote the URL.
    PQfreemem(why);
    return absl::InvalidArgumentError("libpq cannot read the Postgres URL: write postgresql://USER@HOST:PORT/DATABASE");
  }
  std::map<std::string, std::string> keywords;
  for (const PQconninfoOption* option = parsed; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) keywords[option->keyword] = option->val;
  }
  PQconninfoFree(parsed);
  return keywords;
}

}  // namespace stockalert::postgres
