#include "services/fetcher/finnhub_stream.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"
#include "services/fetcher/finnhub_rest.h"

namespace stockalert::fetcher {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using tcp = asio::ip::tcp;

constexpr std::chrono::milliseconds kTick{50};
constexpr size_t kMessageBytesMax = size_t{4} * 1024 * 1024;
constexpr absl::Duration kAfterRefusedKey = absl::Minutes(5);

absl::Status Broken(absl::string_view what, const beast::error_code& error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", error.message()));
}

void CountStream(const char* event) {
  metrics::GetCounter("stockalert_fetcher_stream_events_total", "What happened to the stream of trades",
                      {{"event", event}})
      .Increment();
}

}  // namespace

// A connection, whatever its socket is. All calls are the stream's thread's; each ends within a tick or its timeout.
class FinnhubStream::Session {
 public:
  virtual ~Session() = default;
  virtual absl::Status Connect() = 0;
  // Lets a tick pass. Answers what ended the connection, if it did.
  virtual absl::Status Tick() = 0;
  virtual void Send(std::string text) = 0;
  virtual size_t unsent() const = 0;
  virtual void Close() = 0;
};

template <typename Socket>
class FinnhubStream::SessionOn final : public FinnhubStream::Session {
 public:
  SessionOn(FinnhubStream& owner, const UrlParts& url)
      : owner_(owner), url_(url), tls_(asio::ssl::context::tls_client), socket_(MakeSocket(io_, tls_)) {}

  ~SessionOn() override {
    // No handler may outlive what it refers to.
    beast::error_code ignored;
    beast::get_lowest_layer(*socket_).close(ignored);
    io_.restart();
    io_.run_for(std::chrono::seconds(1));
  }

  absl::Status Connect() override {
    tcp::resolver resolver(io_);
    if (auto error = Await([&](const auto& done) {
          resolver.async_resolve(url_.host, url_.port,
                                 [this, done](beast::error_code e, tcp::resolver::results_type found) {
                                   addresses_ = std::move(found);
                                   done(e);
                                 });
        })) {
      resolver.cancel();
      return Broken("resolving the stream's host", error);
    }
    if (auto error = Await([&](const auto& done) {
          asio::async_connect(beast::get_lowest_layer(*socket_), addresses_,
                              [done](beast::error_code e, const tcp::endpoint&) { done(e); });
        })) {
      return Broken("connecting to the stream", error);
    }
    if constexpr (!std::is_same_v<Socket, tcp::socket>) {
      if (!SSL_set_tlsext_host_name(socket_->next_layer().native_handle(), url_.host.c_str())) {
        return absl::UnavailableError("the host's name cannot be sent");
      }
      socket_->next_layer().set_verify_mode(asio::ssl::verify_peer);
      socket_->next_layer().set_verify_callback(asio::ssl::host_name_verification(url_.host));
      if (auto error = Await([&](const auto& done) {
            socket_->next_layer().async_handshake(asio::ssl::stream_base::client,
                                                  [done](beast::error_code e) { done(e); });
          })) {
        return Broken("the TLS handshake with the stream", error);
      }
    }
    socket_->read_message_max(kMessageBytesMax);
    socket_->control_callback([this](websocket::frame_type, beast::string_view) { heard_ = absl::Now(); });
    const std::string target = absl::StrCat(url_.path.empty() ? "/" : url_.path, "?token=", owner_.options_.api_key);
    if (auto error = Await([&](const auto& done) {
          socket_->async_handshake(response_, absl::StrCat(url_.host, ":", url_.port), target,
                                   [done](beast::error_code e) { done(e); });
        })) {
      if (error == websocket::error::upgrade_declined) {
        const int code = response_.result_int();
        if (code == 401 || code == 403)
          return absl::UnauthenticatedError("the stream does not take the key: see FINNHUB_API_KEY");
        if (code == 429) return absl::ResourceExhaustedError("the stream refuses connections for now (HTTP 429)");
        return absl::UnavailableError(absl::StrCat("the stream's handshake was answered with HTTP ", code));
      }
      return Broken("the stream's handshake", error);
    }
    heard_ = absl::Now();
    StartRead();
    return absl::OkStatus();
  }

  absl::Status Tick() override {
    owner_.heartbeat_.Beat();
    StartWrite();
    io_.restart();
    io_.run_one_for(kTick);
    // What has come meanwhile, without waiting.
    io_.poll();
    if (broken_) return Broken("the stream", *broken_);
    if (absl::Now() - heard_ > owner_.options_.silence_max) {
      CountStream("silence");
      return absl::UnavailableError(
          absl::StrCat("the stream has been silent for ", absl::FormatDuration(owner_.options_.silence_max)));
    }
    return absl::OkStatus();
  }

  void Send(std::string text) override { out_.push_back(std::move(text)); }
  size_t unsent() const override { return out_.size(); }

  void Close() override {
    Await(
        [&](const auto& done) {
          socket_->async_close(websocket::close_code::normal, [done](beast::error_code e) { done(e); });
        },
        absl::Seconds(1));
  }

 private:
  using Stream = websocket::stream<Socket>;

  static std::unique_ptr<Stream> MakeSocket(asio::io_context& io, asio::ssl::context& tls) {
    if constexpr (std::is_same_v<Socket, tcp::socket>) {
      return std::make_unique<Stream>(io);
    } else {
      tls.set_default_verify_paths();
      return std::make_unique<Stream>(io, tls);
    }
  }

  // Runs one operation to its end, its timeout, or the stop; then it is cut off by closing the socket.
  template <typename Begin>
  beast::error_code Await(Begin begin, std::optional<absl::Duration> timeout = std::nullopt) {
    struct Outcome {
      bool done = false;
      beast::error_code error;
    };
    auto outcome = std::make_shared<Outcome>();
    begin([outcome](beast::error_code error) {
      outcome->done = true;
      outcome->error = error;
    });
    const absl::Time deadline = absl::Now() + timeout.value_or(owner_.options_.connect_timeout);
    while (!outcome->done && absl::Now() < deadline && (timeout || !owner_.stopped_)) {
      owner_.heartbeat_.Beat();
      io_.restart();
      io_.run_one_for(kTick);
    }
    if (outcome->done) return outcome->error;
    beast::error_code ignored;
    beast::get_lowest_layer(*socket_).close(ignored);
    return beast::error::timeout;
  }

  void StartRead() {
    socket_->async_read(in_, [this](beast::error_code error, size_t) {
      if (error) {
        broken_ = error;
        return;
      }
      heard_ = absl::Now();
      const std::string text = beast::buffers_to_string(in_.data());
      in_.consume(in_.size());
      owner_.Handle(text, *this);
      StartRead();
    });
  }

  void StartWrite() {
    if (writing_ || out_.empty() || broken_) return;
    writing_ = true;
    socket_->async_write(asio::buffer(out_.front()), [this](beast::error_code error, size_t) {
      writing_ = false;
      out_.pop_front();
      if (error) {
        broken_ = error;
        return;
      }
      StartWrite();
    });
  }

  FinnhubStream& owner_;
  const UrlParts url_;
  asio::io_context io_;
  asio::ssl::context tls_;
  std::unique_ptr<Stream> socket_;
  // What an operation writes to outlives it here, also where its caller has given it up.
  tcp::resolver::results_type addresses_;
  websocket::response_type response_;
  beast::flat_buffer in_;
  std::deque<std::string> out_;
  bool writing_ = false;
  std::optional<beast::error_code> broken_;
  absl::Time heard_;
};

FinnhubStream::FinnhubStream(const FinnhubStreamOptions& options, std::function<void(const StreamTrade&)> on_trade)
    : options_(options), on_trade_(std::move(on_trade)), slots_(options.symbols_max) {}

FinnhubStream::~FinnhubStream() { Stop(); }

void FinnhubStream::Start() {
  heartbeat_.Beat();
  thread_ = std::thread([this] { Run(); });
}

void FinnhubStream::Stop() {
  stopped_ = true;
  if (thread_.joinable()) thread_.join();
  heartbeat_.End();
}

void FinnhubStream::SetSymbols(const std::set<std::string>& symbols) {
  base::MutexLock lock(mutex_);
  symbols_ = symbols;
}

std::set<std::string> FinnhubStream::streamed() const {
  base::MutexLock lock(mutex_);
  return subscribed_;
}

bool FinnhubStream::HasSymbols() const {
  base::MutexLock lock(mutex_);
  return !symbols_.empty();
}

// What is streamed already stays, for a change would cost a gap; the slots left go to the others by name.
std::set<std::string> FinnhubStream::Wanted() const {
  base::MutexLock lock(mutex_);
  std::set<std::string> wanted;
  for (const std::string& symbol : subscribed_) {
    if (wanted.size() < slots_ && symbols_.count(symbol) > 0) wanted.insert(symbol);
  }
  for (const std::string& symbol : symbols_) {
    if (wanted.size() >= slots_) break;
    wanted.insert(symbol);
  }
  return wanted;
}

void FinnhubStream::Handle(std::string_view text, Session& session) {
  const absl::StatusOr<StreamMessage> message = ParseStreamMessage(text);
  if (!message.ok()) {
    CountStream("unreadable");
    return;
  }
  switch (message->kind) {
    case StreamMessage::Kind::kTrades:
      for (const StreamTrade& trade : message->trades) on_trade_(trade);
      break;
    case StreamMessage::Kind::kPing:
      CountStream("ping");
      break;
    case StreamMessage::Kind::kError:
      CountStream("error");
      log::Warning("the stream reports an error", {{"error", message->error}});
      if (absl::StrContains(absl::AsciiStrToLower(message->error), "too many symbols")) DropLast(session);
      break;
    case StreamMessage::Kind::kOther:
      CountStream("other");
      break;
  }
}

// The error does not say which: each one is about the latest asked for that has not been given up yet.
void FinnhubStream::DropLast(Session& session) {
  base::MutexLock lock(mutex_);
  while (!asked_for_.empty()) {
    const std::string symbol = std::move(asked_for_.back());
    asked_for_.pop_back();
    if (subscribed_.erase(symbol) == 0) continue;
    slots_ = std::max<size_t>(1, subscribed_.size());
    session.Send(nlohmann::json{{"type", "unsubscribe"}, {"symbol", symbol}}.dump());
    log::Warning("streaming fewer symbols; the others are polled", {{"symbols", slots_}});
    return;
  }
}

absl::Status FinnhubStream::RunConnection(bool* worked) {
  const UrlParts url = ParseUrl(options_.url, "ws", "wss").value();
  std::unique_ptr<Session> session;
  if (url.scheme == "wss") {
    session = std::make_unique<SessionOn<beast::ssl_stream<tcp::socket>>>(*this, url);
  } else {
    session = std::make_unique<SessionOn<tcp::socket>>(*this, url);
  }
  if (absl::Status connected = session->Connect(); !connected.ok()) return connected;
  CountStream("connected");
  log::Info("the stream is connected");
  static auto& gauge =
      metrics::GetGauge("stockalert_fetcher_stream_symbols", "Symbols that the stream is subscribed to");
  asked_for_.clear();
  const absl::Time begin = absl::Now();
  absl::Status ended;
  // A key has one connection: where nothing is to be streamed it is left to whoever may need it.
  while (!stopped_ && HasSymbols()) {
    const std::set<std::string> wanted = Wanted();
    const std::set<std::string> now = streamed();
    for (const std::string& symbol : now) {
      if (wanted.count(symbol) > 0) continue;
      session->Send(nlohmann::json{{"type", "unsubscribe"}, {"symbol", symbol}}.dump());
      base::MutexLock lock(mutex_);
      subscribed_.erase(symbol);
    }
    for (const std::string& symbol : wanted) {
      // One at a time, so that an error about the last one asked for can be told.
      if (now.count(symbol) > 0 || session->unsent() > 0) continue;
      session->Send(nlohmann::json{{"type", "subscribe"}, {"symbol", symbol}}.dump());
      asked_for_.push_back(symbol);
      base::MutexLock lock(mutex_);
      subscribed_.insert(symbol);
    }
    gauge.Set(static_cast<double>(streamed().size()));
    ended = session->Tick();
    if (!ended.ok()) break;
  }
  // One that held for a while has worked: the next try need not wait long.
  *worked = absl::Now() - begin > absl::Seconds(30);
  if (ended.ok()) session->Close();
  gauge.Set(0);
  return ended;
}

void FinnhubStream::Run() {
  base::Backoff backoff(options_.backoff);
  while (!stopped_) {
    if (!HasSymbols()) {
      heartbeat_.Beat();
      absl::SleepFor(absl::Milliseconds(50));
      continue;
    }
    bool worked = false;
    const absl::Status ended = RunConnection(&worked);
    {
      base::MutexLock lock(mutex_);
      subscribed_.clear();
      // The limit may have been another's leftover: it is found out anew.
      slots_ = options_.symbols_max;
    }
    if (stopped_) return;
    if (ended.ok()) continue;
    if (worked) backoff.Reset();
    absl::Duration pause = backoff.Next();
    if (absl::IsUnauthenticated(ended)) pause = std::max(pause, kAfterRefusedKey);
    if (absl::IsResourceExhausted(ended)) pause = std::max(pause, options_.backoff.maximum);
    CountStream("disconnected");
    log::Warning("the stream ended; prices are polled meanwhile", {{"status", ended}, {"next_try_in", pause}});
    const absl::Time until = absl::Now() + pause;
    while (!stopped_ && absl::Now() < until) {
      heartbeat_.Beat();
      absl::SleepFor(absl::Milliseconds(50));
    }
  }
}

}  // namespace stockalert::fetcher
