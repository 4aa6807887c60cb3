#include "services/common/http/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/http/reply_head.h"
#include "services/common/transfer/transfer_loop.h"

namespace stockalert::http {
namespace {

using transfer::Must;

transfer::LoopOptions LoopOptionsOf(const HttpClientOptions& options) {
  return {.timeout = options.timeout,
          .connect_timeout = options.connect_timeout,
          .lanes = options.lanes,
          .in_flight_max = options.in_flight_max,
          .waiting_max = options.waiting_max,
          .name_cache_time = options.name_cache_time,
          .authorities_file = options.authorities_file,
          .on_turn = options.on_turn};
}

const char* NameOf(HttpMethod method) {
  switch (method) {
    case HttpMethod::kGet:
      return "GET";
    case HttpMethod::kPost:
      return "POST";
    case HttpMethod::kPut:
      return "PUT";
    case HttpMethod::kPatch:
      return "PATCH";
  }
  return "GET";
}

// One request and its reply.
class HttpTransfer final : public transfer::Transfer {
 public:
  HttpTransfer(const HttpClientOptions& options, HttpRequest request, HttpClient::Done done)
      : options_(options), request_(std::move(request)), done_(std::move(done)), head_(options.header_bytes_max) {}
  ~HttpTransfer() override { curl_slist_free_all(headers_); }

  // What is sent, where the reply goes, and by what way.
  void Begin(CURL* easy) override {
    for (const std::string& header : options_.headers) AddHeader(header);
    for (const std::string& header : request_.headers) AddHeader(header);
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
    if (request_.method != HttpMethod::kGet) {
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      if (request_.method != HttpMethod::kPost) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NameOf(request_.method));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data());
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &HttpTransfer::OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &HttpTransfer::OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     static_cast<long>(options_.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &HttpTransfer::OnOpenSocket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  }

  void End(CURL* easy, CURLcode result) override {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    // libcurl takes headers for whole where the connection ends.
    if (result == CURLE_OK && !head_.whole()) result = CURLE_PARTIAL_FILE;
    if (result != CURLE_OK && !(options_.cut_replies && head_.whole())) return done_(ErrorOf(result));
    reply_.status = static_cast<int>(status);
    reply_.headers = head_.headers();
    reply_.cut = result != CURLE_OK;
    done_(std::move(reply_));
  }

  void Drop(const absl::Status& status) override { done_(status); }

 private:
  void AddHeader(const std::string& header) {
    curl_slist* longer = curl_slist_append(headers_, header.c_str());
    Must(longer != nullptr, "curl_slist_append");
    headers_ = longer;
  }

  absl::Status ErrorOf(CURLcode result) const {
    if (too_big_ != nullptr) return absl::UnavailableError(too_big_);
    if (address_refused_ && !address_tried_) {
      return absl::PermissionDeniedError("requests to the host's address are not allowed");
    }
    if (result == CURLE_OPERATION_TIMEDOUT) {
      // libcurl says so of either limit.
      return absl::DeadlineExceededError(absl::StrCat(
          "no complete reply within ", absl::FormatDuration(options_.timeout), ", or no connection within ",
          absl::FormatDuration(std::min(options_.timeout, options_.connect_timeout))));
    }
    return absl::UnavailableError(transfer::Describe(result));
  }

  static curl_socket_t OnOpenSocket(void* target, curlsocktype /*purpose*/, curl_sockaddr* peer) {
    HttpTransfer& self = *static_cast<HttpTransfer*>(target);
    if (self.options_.may_connect && !self.options_.may_connect(peer->addr)) {
      self.address_refused_ = true;
      return CURL_SOCKET_BAD;
    }
    self.address_tried_ = true;
    return transfer::OpenSocket(*peer, self.options_.receive_buffer_bytes);
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* target) {
    HttpTransfer& self = *static_cast<HttpTransfer*>(target);
    const size_t length = size * count;
    const size_t room = self.options_.reply_bytes_max - self.reply_.body.size();
    if (length > room) {
      self.too_big_ = "the reply is too big";
      self.reply_.body.append(data, room);
      return 0;
    }
    self.reply_.body.append(data, length);
    return length;
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* target) {
    HttpTransfer& self = *static_cast<HttpTransfer*>(target);
    const size_t length = size * count;
    if (!self.head_.AddLine(std::string_view(data, length))) {
      self.too_big_ = "the reply's headers are too big";
      return 0;
    }
    return length;
  }

  const HttpClientOptions& options_;  // The client's, which outlives the transfers.
  const HttpRequest request_;
  const HttpClient::Done done_;
  curl_slist* headers_ = nullptr;
  HttpReply reply_;
  ReplyHead head_;
  const char* too_big_ = nullptr;
  bool address_tried_ = false;
  bool address_refused_ = false;
};

}  // namespace

HttpClient::HttpClient(const HttpClientOptions& options)
    : options_(options), loop_(std::make_unique<transfer::TransferLoop>(LoopOptionsOf(options_))) {}
HttpClient::~HttpClient() = default;

void HttpClient::Send(HttpRequest request, Done done) {
  const size_t lane = request.lane;
  loop_->Start(std::make_unique<HttpTransfer>(options_, std::move(request), std::move(done)), lane);
}

std::string EscapeForUrl(const std::string& text) {
  transfer::InitOnce();
  char* escaped = curl_easy_escape(nullptr, text.c_str(), static_cast<int>(text.size()));
  Must(escaped != nullptr, "curl_easy_escape");
  std::string result(escaped);
  curl_free(escaped);
  return result;
}

}  // namespace stockalert::http
