#include "services/notifier/unsubscribe/unsubscribe_handler.h"

#include <catch2/catch.hpp>
#include <vector>

#include "services/notifier/delivery/destination_store.h"
#include "services/notifier/unsubscribe/unsubscribe_token.h"

namespace stockalert::notifier {
namespace {

using secrets::SecretBox;

constexpr char kUser[] = "11111111-1111-4111-8111-111111111111";
constexpr char kId[] = "33333333-3333-4333-8333-333333333333";
constexpr char kForm[] = "application/x-www-form-urlencoded";
constexpr char kOneClick[] = "List-Unsubscribe=One-Click";

struct World {
  World() {
    destination.id = kId;
    destination.user_id = kUser;
    destination.kind = KindId::kEmail;
    destination.shown_settings = R"({"address":"ann@example.org"})";
  }
  std::string Token(const std::string& address = "ann@example.org") const {
    return MakeUnsubscribeToken(box, kUser, kId, address);
  }
  PageAnswer Post(const std::string& token, const std::string& body = kOneClick, const std::string& type = kForm) {
    return handler.Handle({"POST", "/unsubscribe/" + token, type, body});
  }
  PageAnswer Get(const std::string& target, const std::string& method = "GET") {
    return handler.Handle({method, target, "", ""});
  }

  SecretBox box = *SecretBox::FromText("k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
  Destination destination;
  std::vector<std::string> asked;
  int disabled = 0;
  absl::Status failure;
  UnsubscribeHandler handler{box,
                             [this](const std::string& user, const std::string& id,
                                    const std::function<bool(const Destination&)>& is_meant) -> absl::Status {
                               asked.push_back(user + "/" + id);
                               if (!failure.ok()) return failure;
                               if (!is_meant(destination)) return DestinationNotFound();
                               ++disabled;
                               return absl::OkStatus();
                             }};
};

TEST_CASE("a POST unsubscribes, as often as it comes") {
  World w;
  for (int i = 1; i <= 2; ++i) {
    const PageAnswer answer = w.Post(w.Token());
    CHECK(answer.status == 200);
    CHECK(answer.html.find("You are unsubscribed") != std::string::npos);
    CHECK(w.disabled == i);
  }
  CHECK(w.asked[0] == std::string(kUser) + "/" + kId);
  CHECK(w.Post(w.Token() + "?utm=1").status == 200);
  // As some mail programs send it (RFC 8058, 3.2 allows both).
  CHECK(w.Post(w.Token(),
               "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n",
               "multipart/form-data; boundary=b")
            .status == 200);
  CHECK(w.disabled == 4);
}

TEST_CASE("a GET or a HEAD shows a page with a button, and changes nothing") {
  World w;
  for (const char* method : {"GET", "HEAD"}) {
    const PageAnswer answer = w.Get("/unsubscribe/" + w.Token(), method);
    CHECK(answer.status == 200);
    CHECK(answer.html.find("<form method=\"post\">") != std::string::npos);
    CHECK(answer.html.find("name=\"List-Unsubscribe\" value=\"One-Click\"") != std::string::npos);
    CHECK(answer.html.find("ann@") == std::string::npos);
  }
  CHECK(w.asked.empty());
}

TEST_CASE(
    "whatever is no token for the destination as it is now gets the same 404, and asks the store only for real ones") {
  World w;
  const PageAnswer unknown = w.Post("nonsense");
  CHECK(unknown.status == 404);
  for (const std::string& token :
       {std::string(), std::string(86, 'A'), w.Token() + "A", std::string("<script>"), std::string("../metrics")}) {
    CHECK(w.Post(token).html == unknown.html);
    CHECK(w.Get("/unsubscribe/" + token).html == unknown.html);
    CHECK(w.Get("/unsubscribe/" + token).status == 404);
  }
  for (const char* path : {"/", "/unsubscribe", "/metrics", "*", ""}) CHECK(w.Get(path).status == 404);
  CHECK(w.asked.empty());
  // Another address, another kind, none any more.
  CHECK(w.Post(w.Token("bob@example.org")).html == unknown.html);
  w.destination.kind = KindId::kSlack;
  CHECK(w.Post(w.Token()).html == unknown.html);
  w.destination.kind = KindId::kEmail;
  w.failure = DestinationNotFound();
  CHECK(w.Post(w.Token()).html == unknown.html);
  CHECK(w.asked.size() == 3);
  CHECK(w.disabled == 0);
}

TEST_CASE("anything but the form of one click changes nothing") {
  World w;
  CHECK(w.Post(w.Token(), "").status == 400);
  CHECK(w.Post(w.Token(), "List-Unsubscribe=One-Clicks").status == 400);
  CHECK(w.Post(w.Token(), kOneClick, "text/plain").status == 400);
  CHECK(w.Post(w.Token(), kOneClick, "multipart/form-data; boundary=b").status == 400);
  CHECK(
      w.Post(w.Token(), "a=b&List-Unsubscribe=One-Click", "application/x-www-form-urlencoded; charset=utf-8").status ==
      200);
  CHECK(w.Get("/unsubscribe/" + w.Token(), "DELETE").status == 405);
  CHECK(w.disabled == 1);
}

TEST_CASE("while the database is down the reader is asked to try again") {
  World w;
  w.failure = absl::UnavailableError("postgres at 10.0.0.1");
  const PageAnswer answer = w.Post(w.Token());
  CHECK(answer.status == 503);
  CHECK(answer.html.find("10.0.0.1") == std::string::npos);
}

}  // namespace
}  // namespace stockalert::notifier
