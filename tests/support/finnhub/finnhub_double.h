// Finnhub on the same machine: REST and WebSocket, with its incidents on demand. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace stockalert::testing {

class FinnhubDouble {
 public:
  FinnhubDouble();
  ~FinnhubDouble();
  FinnhubDouble(const FinnhubDouble&) = delete;
  FinnhubDouble& operator=(const FinnhubDouble&) = delete;

  std::string rest_url() const;
  std::string ws_url() const;

  // What /quote answers for a symbol; others are answered as unknown ones.
  void SetQuote(const std::string& symbol, const std::string& json);
  // What /search answers.
  void SetSearch(const std::string& json);
  // What /quote answers for one symbol instead, with this status; 0 ends that.
  void FailQuote(const std::string& symbol, int status, const std::string& body);
  // /quote of this symbol begins to answer, and goes on with a byte every so often, without end.
  void Drip(const std::string& symbol, int interval_ms);
  // Every REST call gets this instead; 0 ends that.
  void FailRest(int status, const std::string& body);
  int rest_calls() const;
  // The symbols of the /quote calls, in order.
  std::vector<std::string> quoted() const;
  // The keys that calls and handshakes showed.
  std::set<std::string> keys() const;

  // Handshakes get this status; 0 ends that.
  void DeclineHandshakes(int status);
  // Beyond so many subscriptions the error comes.
  void SetSubscriptionsMax(size_t symbols);
  // Sends the text to every connection.
  void Send(const std::string& text);
  // Cuts every connection.
  void Drop();
  std::set<std::string> subscribed() const;
  int handshakes() const;
  int connections() const;
  // The most connections that there ever were at a time.
  int connections_max() const;

 private:
  struct Rest;
  struct Stream;
  std::unique_ptr<Rest> rest_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace stockalert::testing
