#include "services/ticker/conflating_watcher.h"

#include <catch2/catch.hpp>

namespace stockalert::ticker {
namespace {

internal::v1::QuoteRecord Quote(const std::string& symbol, int64_t price) {
  internal::v1::QuoteRecord quote;
  quote.set_symbol(symbol);
  quote.set_price_micros(price);
  return quote;
}

struct Client {
  bool Receive(const std::vector<internal::v1::QuoteRecord>& quotes) {
    if (room == 0) return false;
    --room;
    pushes.push_back(quotes.size());
    for (const auto& quote : quotes) taken.push_back(quote.symbol() + std::to_string(quote.price_micros()));
    return true;
  }
  size_t room = 1000;
  std::vector<size_t> pushes;
  std::vector<std::string> taken;
};

TEST_CASE("a client that keeps up gets every quote in order") {
  Client client;
  ConflatingWatcher watcher([&](const auto& quotes) { return client.Receive(quotes); });
  for (int i = 0; i < 250; ++i) watcher.Collect(Quote("AAPL", i));
  watcher.Deliver();
  REQUIRE(client.taken.size() == 250);
  CHECK(client.pushes == std::vector<size_t>{100, 100, 50});
  CHECK(client.taken[249] == "AAPL249");
  watcher.Deliver();
  CHECK(client.pushes.size() == 3);
}

TEST_CASE("a slow client gets the latest of each symbol, and what it has not got is never lost") {
  Client client;
  client.room = 0;
  ConflatingWatcher watcher([&](const auto& quotes) { return client.Receive(quotes); });
  watcher.Collect(Quote("MSFT", 7));
  for (int i = 0; i < 10'000; ++i) {
    watcher.Collect(Quote("AAPL", i));
    watcher.Deliver();
  }
  CHECK(client.taken.empty());
  client.room = 1000;
  watcher.Deliver();
  CHECK(client.taken.size() <= ConflatingWatcher::kPendingMax);
  CHECK(client.taken.front() == "MSFT7");
  CHECK(client.taken.back() == "AAPL9999");
}

TEST_CASE("what there was no room for is pushed from where it stopped") {
  Client client;
  client.room = 1;
  ConflatingWatcher watcher([&](const auto& quotes) { return client.Receive(quotes); });
  for (int i = 0; i < 150; ++i) watcher.Collect(Quote("AAPL", i));
  watcher.Deliver();
  CHECK(client.taken.size() == 100);
  client.room = 1;
  watcher.Deliver();
  REQUIRE(client.taken.size() == 150);
  CHECK(client.taken[100] == "AAPL100");
}

}  // namespace
}  // namespace stockalert::ticker
