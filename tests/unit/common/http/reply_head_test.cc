#include "services/common/http/reply_head.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

namespace stockalert::http {
namespace {

using Headers = std::map<std::string, std::string>;

TEST_CASE("headers by their names in lower case, without the blanks around their values") {
  ReplyHead head(1000);
  for (const char* line :
       {"HTTP/1.1 429 Too Many Requests\r\n", "Retry-After: 7\r\n", "X-EMPTY:\r\n", "x-colons:a:b\r\n",
        "X-Blanks: \t a b \t \r\n", "X-Twice: 1\r\n", "x-twice: 2\r\n", "no header\r\n"}) {
    CHECK(head.AddLine(line));
    CHECK_FALSE(head.whole());
  }
  CHECK(head.AddLine("\r\n"));
  CHECK(head.whole());
  CHECK(head.headers() ==
        Headers{{"retry-after", "7"}, {"x-empty", ""}, {"x-colons", "a:b"}, {"x-blanks", "a b"}, {"x-twice", "2"}});
}

TEST_CASE("bare line feeds end lines, too") {
  ReplyHead head(1000);
  CHECK(head.AddLine("HTTP/1.0 200 OK\n"));
  CHECK(head.AddLine("A: b\n"));
  CHECK(head.AddLine("\n"));
  CHECK(head.whole());
  CHECK(head.headers() == Headers{{"a", "b"}});
}

TEST_CASE("an interim reply is not whole, and nothing of it stays") {
  for (const char* status : {"HTTP/1.1 100 Continue\r\n", "HTTP/1.1 103 Early Hints\r\n", "HTTP/2 103 \r\n"}) {
    ReplyHead head(1000);
    CHECK(head.AddLine(status));
    CHECK(head.AddLine("Retry-After: 7\r\n"));
    CHECK(head.AddLine("\r\n"));
    CHECK_FALSE(head.whole());
    CHECK(head.AddLine("HTTP/2 200 \r\n"));
    CHECK(head.headers().empty());
    CHECK_FALSE(head.whole());
    CHECK(head.AddLine("\r\n"));
    CHECK(head.whole());
  }
}

TEST_CASE("no status but 1xx is an interim one") {
  for (const char* status : {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 410 Gone\r\n", "HTTP/2 204 \r\n", "HTTP/1.1 501 1\r\n"}) {
    ReplyHead head(1000);
    CHECK(head.AddLine(status));
    CHECK(head.AddLine("\r\n"));
    CHECK(head.whole());
  }
}

TEST_CASE("trailers leave a whole head whole") {
  ReplyHead head(1000);
  CHECK(head.AddLine("HTTP/1.1 200 OK\r\n"));
  CHECK(head.AddLine("\r\n"));
  CHECK(head.AddLine("X-Trailer: 1\r\n"));
  CHECK(head.whole());
}

TEST_CASE("all lines together are bounded, to the byte") {
  const std::string status = "HTTP/1.1 200 OK\r\n";
  ReplyHead fits(status.size() + 10);
  CHECK(fits.AddLine(status));
  CHECK(fits.AddLine("12345678\r\n"));
  CHECK_FALSE(fits.AddLine("\r\n"));
  CHECK_FALSE(fits.whole());
  ReplyHead interim(10 * 28 - 1);
  int taken = 0;
  while (interim.AddLine("HTTP/1.1 103 Early Hints\r\n\r\n")) ++taken;
  CHECK(taken == 9);
}

}  // namespace
}  // namespace stockalert::http
