#include "services/fetcher/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/base/abseil.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/log/log.h"

namespace stockalert::fetcher {
namespace {

// What is wrong with a call of libcurl that can fail for want of memory alone.
void Must(bool ok, const char* what) {
  if (ok) return;
  log::Error("libcurl cannot be used", {{"what", what}});
  std::abort();
}

void InitOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  Must(result == CURLE_OK, "curl_global_init");
}

}  // namespace

class HttpClient::Loop {
 public:
  explicit Loop(const HttpClientOptions& options)
      : options_(options), in_flight_(options.lanes), waiting_(options.lanes) {
    InitOnce();
    multi_ = curl_multi_init();
    Must(multi_ != nullptr, "curl_multi_init");
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.lanes * options.in_flight_max));
    for (const std::string& header : options.headers) headers_ = curl_slist_append(headers_, header.c_str());
    thread_ = std::thread([this] { Run(); });
  }
  ~Loop() {
    stopping_ = true;
    curl_multi_wakeup(multi_);
    thread_.join();
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
  }

  void Get(const std::string& url, size_t lane, Done done) {
    auto request = std::make_unique<Request>();
    request->loop = this;
    request->url = url;
    request->lane = lane;
    request->done = std::move(done);
    request->give_up_us = clock_.NowUs() + absl::ToInt64Microseconds(options_.timeout);
    absl::Status refused;
    {
      base::MutexLock lock(mutex_);
      if (stopping_) {
        refused = absl::CancelledError("the client is stopping");
      } else if (waiting_[lane].size() >= options_.waiting_max) {
        refused = absl::ResourceExhaustedError("too many requests wait");
      } else {
        waiting_[lane].push_back(std::move(request));
      }
    }
    if (refused.ok()) {
      curl_multi_wakeup(multi_);
    } else {
      request->done(refused);
    }
  }

 private:
  struct Request {
    Loop* loop = nullptr;
    std::string url;
    size_t lane = 0;
    Done done;
    int64_t give_up_us = 0;
    HttpReply reply;
    size_t header_bytes = 0;
    const char* too_big = nullptr;
  };

  void Run() {
    while (!stopping_) {
      if (options_.on_turn) options_.on_turn();
      BeginWaiting();
      int running = 0;
      curl_multi_perform(multi_, &running);
      int left = 0;
      while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) End(message->easy_handle, message->data.result);
      }
      // What has ended made room.
      if (BeginWaiting()) continue;
      curl_multi_poll(multi_, nullptr, 0, PatienceMs(), nullptr);
    }
    while (!requests_.empty()) End(requests_.begin()->first, CURLE_ABORTED_BY_CALLBACK);
    std::vector<std::unique_ptr<Request>> dropped;
    {
      base::MutexLock lock(mutex_);
      for (auto& lane : waiting_) {
        for (auto& request : lane) dropped.push_back(std::move(request));
        lane.clear();
      }
    }
    for (const auto& request : dropped) request->done(absl::CancelledError("the client is stopping"));
  }

  // What waits is given up in time, too.
  int PatienceMs() {
    int64_t until_us = clock_.NowUs() + 1'000'000;
    base::MutexLock lock(mutex_);
    for (const auto& lane : waiting_) {
      if (!lane.empty()) until_us = std::min(until_us, lane.front()->give_up_us);
    }
    return static_cast<int>(std::clamp<int64_t>((until_us - clock_.NowUs()) / 1000 + 1, 1, 1000));
  }

  // True: something has begun or was given up.
  bool BeginWaiting() {
    bool any = false;
    for (size_t lane = 0; lane < options_.lanes; ++lane) {
      for (;;) {
        std::unique_ptr<Request> next;
        int64_t left_us = 0;
        {
          base::MutexLock lock(mutex_);
          if (waiting_[lane].empty()) break;
          left_us = waiting_[lane].front()->give_up_us - clock_.NowUs();
          if (left_us > 0 && in_flight_[lane] >= options_.in_flight_max) break;
          next = std::move(waiting_[lane].front());
          waiting_[lane].pop_front();
        }
        any = true;
        if (left_us <= 0) {
          next->done(absl::DeadlineExceededError("no turn in time"));
        } else {
          StartRequest(std::move(next), left_us);
        }
      }
    }
    return any;
  }

  void StartRequest(std::unique_ptr<Request> request, int64_t left_us) {
    CURL* easy = curl_easy_init();
    Must(easy != nullptr, "curl_easy_init");
    curl_easy_setopt(easy, CURLOPT_URL, request->url.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    // One request a connection at a time: of several on one (HTTP/2) each would wait for the others' bytes.
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A resolver that hangs must not hold up the loop when its request is given up.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left_us / 1000 + 1));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(left_us / 1000 + 1));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Loop::OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request.get());
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Loop::OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request.get());
    ++in_flight_[request->lane];
    requests_[easy] = std::move(request);
    Must(curl_multi_add_handle(multi_, easy) == CURLM_OK, "curl_multi_add_handle");
  }

  void End(CURL* easy, CURLcode result) {
    const auto found = requests_.find(easy);
    const std::unique_ptr<Request> request = std::move(found->second);
    requests_.erase(found);
    --in_flight_[request->lane];
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi_, easy);
    curl_easy_cleanup(easy);
    if (stopping_ && result == CURLE_ABORTED_BY_CALLBACK) {
      request->done(absl::CancelledError("the client is stopping"));
    } else if (request->too_big != nullptr) {
      request->done(absl::UnavailableError(request->too_big));
    } else if (result == CURLE_OPERATION_TIMEDOUT) {
      request->done(
          absl::DeadlineExceededError(absl::StrCat("no whole reply within ", absl::FormatDuration(options_.timeout))));
    } else if (result != CURLE_OK) {
      request->done(absl::UnavailableError(curl_easy_strerror(result)));
    } else {
      request->reply.status = static_cast<int>(status);
      request->done(std::move(request->reply));
    }
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* target) {
    Request& request = *static_cast<Request*>(target);
    const size_t length = size * count;
    if (request.reply.body.size() + length > request.loop->options_.reply_bytes_max) {
      request.too_big = "the reply is too big";
      return 0;
    }
    request.reply.body.append(data, length);
    return length;
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* target) {
    Request& request = *static_cast<Request*>(target);
    const size_t length = size * count;
    request.header_bytes += length;
    if (request.header_bytes > request.loop->options_.header_bytes_max) {
      request.too_big = "the reply's headers are too big";
      return 0;
    }
    const std::string line(data, length);
    const size_t colon = line.find(':');
    if (colon != std::string::npos) {
      request.reply.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
          std::string(base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(line).substr(colon + 1))));
    }
    return length;
  }

  const HttpClientOptions options_;
  const base::SystemMonotonicClock clock_;
  CURLM* multi_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::map<CURL*, std::unique_ptr<Request>> requests_;  // The loop's, as what follows.
  std::vector<size_t> in_flight_;                       // By lane.
  base::Mutex mutex_;
  std::vector<std::deque<std::unique_ptr<Request>>> waiting_ ABSL_GUARDED_BY(mutex_);  // By lane.
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

HttpClient::HttpClient(const HttpClientOptions& options) : loop_(std::make_unique<Loop>(options)) {}
HttpClient::~HttpClient() = default;

void HttpClient::Get(const std::string& url, size_t lane, Done done) { loop_->Get(url, lane, std::move(done)); }

std::string EscapeForUrl(const std::string& text) {
  InitOnce();
  char* escaped = curl_easy_escape(nullptr, text.c_str(), static_cast<int>(text.size()));
  Must(escaped != nullptr, "curl_easy_escape");
  std::string result(escaped);
  curl_free(escaped);
  return result;
}

}  // namespace stockalert::fetcher
