#include "services/common/transfer/transfer_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <limits>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/log/log.h"

namespace stockalert::transfer {
namespace {

// No new transfer goes on a connection of this age: neither an address that was judged long ago nor a connection that
// stalls is met for ever.
constexpr long kConnectionAgeMaxS = 120;
// The kernel gives a connection up whose peer is gone, where HTTP/2 would put request after request on it.
constexpr unsigned kUnacknowledgedMaxMs = 30'000;
constexpr int64_t kRoundMaxUs = 1'000'000;
constexpr size_t kEventsPerRoundMax = 256;

}  // namespace

class TransferLoop::Impl {
 public:
  explicit Impl(const LoopOptions& options) : options_(options), in_flight_(options.lanes), waiting_(options.lanes) {
    InitOnce();
    multi_ = curl_multi_init();
    Must(multi_ != nullptr, "curl_multi_init");
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options.lanes * options.in_flight_max));
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Impl::OnSocket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Impl::OnTimer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    Must(epoll_ >= 0 && wake_ >= 0, "epoll_create1, eventfd");
    epoll_event event = {.events = EPOLLIN, .data = {.fd = wake_}};
    Must(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0, "epoll_ctl");
    thread_ = std::thread([this] { Run(); });
  }
  ~Impl() {
    stopping_ = true;
    Wake();
    thread_.join();
    if (options_.on_close) options_.on_close();
    curl_multi_cleanup(multi_);
    close(wake_);
    close(epoll_);
  }

  void Start(std::unique_ptr<Transfer> transfer, size_t lane) {
    absl::Status refused;
    bool first = false;
    {
      base::MutexLock lock(mutex_);
      if (stopping_) {
        refused = absl::CancelledError("the client is stopping");
      } else if (waiting_[lane].size() >= options_.waiting_max) {
        refused = absl::ResourceExhaustedError("too many requests wait");
      } else {
        const int64_t give_up_us = clock_.NowUs() + absl::ToInt64Microseconds(options_.timeout);
        first = waiting_[lane].empty();
        waiting_[lane].push_back({std::move(transfer), lane, give_up_us});
      }
    }
    if (!refused.ok()) return transfer->Drop(refused);
    // The loop has yet to come for those before it, or has no room for them.
    if (first) Wake();
  }

 private:
  struct Entry {
    std::unique_ptr<Transfer> transfer;
    size_t lane = 0;
    int64_t give_up_us = 0;
  };

  void Wake() const { eventfd_write(wake_, 1); }

  // What libcurl wants to know of a socket. Sockets that are idle cost a round nothing.
  static int OnSocket(CURL* /*easy*/, curl_socket_t file, int what, void* target, void* known) {
    Impl& self = *static_cast<Impl*>(target);
    if (what == CURL_POLL_REMOVE) {
      // Closed already: the kernel has removed it.
      epoll_ctl(self.epoll_, EPOLL_CTL_DEL, file, nullptr);
      return 0;
    }
    epoll_event event = {.events = 0, .data = {.fd = file}};
    if (what & CURL_POLL_IN) event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
    // Should it be otherwise known than libcurl thinks, the other way holds.
    const bool is_known = known != nullptr;
    if (epoll_ctl(self.epoll_, is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, file, &event) != 0)
      epoll_ctl(self.epoll_, is_known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, file, &event);
    curl_multi_assign(self.multi_, file, target);
    return 0;
  }

  static int OnTimer(CURLM* /*multi*/, long after_ms, void* target) {
    Impl& self = *static_cast<Impl*>(target);
    self.timer_us_ = after_ms < 0 ? kNever : self.clock_.NowUs() + after_ms * 1000;
    return 0;
  }

  void Run() {
    while (!stopping_) {
      if (options_.on_turn) options_.on_turn();
      BeginWaiting();
      if (timer_us_ <= clock_.NowUs()) Act(CURL_SOCKET_TIMEOUT, 0);
      EndDone();
      // What has ended made room.
      if (BeginWaiting()) continue;
      std::array<epoll_event, kEventsPerRoundMax> events;
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), PatienceMs());
      for (int i = 0; i < count; ++i) TakeEvent(events[static_cast<size_t>(i)]);
      EndDone();
    }
    DropAll(absl::CancelledError("the client is stopping"));
  }

  void TakeEvent(const epoll_event& event) {
    if (event.data.fd == wake_) {
      eventfd_t ignored = 0;
      eventfd_read(wake_, &ignored);
      return;
    }
    int what = 0;
    if (event.events & EPOLLIN) what |= CURL_CSELECT_IN;
    if (event.events & EPOLLOUT) what |= CURL_CSELECT_OUT;
    if (event.events & (EPOLLERR | EPOLLHUP)) what |= CURL_CSELECT_ERR;
    Act(event.data.fd, what);
  }

  void Act(curl_socket_t file, int what) {
    // It may set the timer anew.
    if (file == CURL_SOCKET_TIMEOUT) timer_us_ = kNever;
    int running = 0;
    curl_multi_socket_action(multi_, file, what, &running);
  }

  void EndDone() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg == CURLMSG_DONE) End(message->easy_handle, message->data.result);
    }
  }

  void DropAll(const absl::Status& status) {
    while (!running_.empty()) {
      CURL* const easy = running_.begin()->first;
      const Entry entry = std::move(running_.begin()->second);
      running_.erase(running_.begin());
      curl_multi_remove_handle(multi_, easy);
      curl_easy_cleanup(easy);
      entry.transfer->Drop(status);
    }
    std::vector<Entry> dropped;
    {
      base::MutexLock lock(mutex_);
      for (auto& lane : waiting_) {
        for (Entry& entry : lane) dropped.push_back(std::move(entry));
        lane.clear();
      }
    }
    for (const Entry& entry : dropped) entry.transfer->Drop(status);
  }

  // What waits is given up in time, too.
  int PatienceMs() {
    const int64_t now_us = clock_.NowUs();
    int64_t until_us = std::min(now_us + kRoundMaxUs, timer_us_);
    base::MutexLock lock(mutex_);
    for (const auto& lane : waiting_) {
      if (!lane.empty()) until_us = std::min(until_us, lane.front().give_up_us);
    }
    // Rounded up: one that is early would go round for nothing.
    return static_cast<int>(std::clamp<int64_t>((until_us - now_us + 999) / 1000, 0, kRoundMaxUs / 1000));
  }

  // True: something has begun or was given up.
  bool BeginWaiting() {
    bool any = false;
    for (size_t lane = 0; lane < options_.lanes; ++lane) {
      for (;;) {
        Entry next;
        int64_t left_us = 0;
        {
          base::MutexLock lock(mutex_);
          if (waiting_[lane].empty()) break;
          left_us = waiting_[lane].front().give_up_us - clock_.NowUs();
          if (left_us > 0 && in_flight_[lane] >= options_.in_flight_max) break;
          next = std::move(waiting_[lane].front());
          waiting_[lane].pop_front();
        }
        any = true;
        if (left_us <= 0) {
          next.transfer->Drop(absl::DeadlineExceededError("no turn in time"));
        } else {
          Begin(std::move(next), left_us);
        }
      }
    }
    return any;
  }

  void Begin(Entry entry, int64_t left_us) {
    CURL* easy = curl_easy_init();
    Must(easy != nullptr, "curl_easy_init");
    SetConnection(easy);
    const int64_t connect_us = std::min(left_us, absl::ToInt64Microseconds(options_.connect_timeout));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left_us / 1000 + 1));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect_us / 1000 + 1));
    entry.transfer->Begin(easy);
    ++in_flight_[entry.lane];
    running_[easy] = std::move(entry);
    Must(curl_multi_add_handle(multi_, easy) == CURLM_OK, "curl_multi_add_handle");
  }

  void SetConnection(CURL* easy) const {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A resolver that hangs must not hold up the loop when its transfer is given up.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT,
                     static_cast<long>(absl::ToInt64Seconds(options_.name_cache_time)));
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, kConnectionAgeMaxS);
    // The file alone, which libcurl reads once; a folder of authorities it would look into for each connection.
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    if (!options_.authorities_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options_.authorities_file.c_str());
  }

  void End(CURL* easy, CURLcode result) {
    const auto found = running_.find(easy);
    const Entry entry = std::move(found->second);
    running_.erase(found);
    --in_flight_[entry.lane];
    curl_multi_remove_handle(multi_, easy);
    entry.transfer->End(easy, result);
    curl_easy_cleanup(easy);
  }

  const LoopOptions options_;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  const base::SystemMonotonicClock clock_;
  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  const int wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CURLM* multi_ = nullptr;
  int64_t timer_us_ = kNever;  // When libcurl wants a turn. The loop's, as what follows.
  std::unordered_map<CURL*, Entry> running_;
  std::vector<size_t> in_flight_;  // By lane.
  base::Mutex mutex_;
  std::vector<std::deque<Entry>> waiting_ ABSL_GUARDED_BY(mutex_);  // By lane.
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

TransferLoop::TransferLoop(const LoopOptions& options) : impl_(std::make_unique<Impl>(options)) {}
TransferLoop::~TransferLoop() = default;

void TransferLoop::Start(std::unique_ptr<Transfer> transfer, size_t lane) { impl_->Start(std::move(transfer), lane); }

void Must(bool ok, const char* what) {
  if (ok) return;
  log::Error("libcurl cannot be used", {{"what", what}});
  std::abort();
}

void InitOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  Must(result == CURLE_OK, "curl_global_init");
}

std::string Describe(CURLcode result) {
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "the host's name cannot be resolved";
    case CURLE_COULDNT_CONNECT:
      return "the host accepts no connection";
    case CURLE_PEER_FAILED_VERIFICATION:
      return "the host's certificate is not valid now, is for another host, or was not issued by a trusted authority";
    case CURLE_SSL_CONNECT_ERROR:
      return "the TLS handshake with the host failed";
    case CURLE_GOT_NOTHING:
      return "the host has closed the connection without an answer";
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
      return "the connection broke before the answer was whole";
    default:
      return curl_easy_strerror(result);
  }
}

curl_socket_t OpenSocket(const curl_sockaddr& peer, int receive_buffer_bytes) {
  const int file = socket(peer.family, peer.socktype | SOCK_CLOEXEC, peer.protocol);
  if (file < 0) return CURL_SOCKET_BAD;
  if (receive_buffer_bytes > 0)
    setsockopt(file, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  setsockopt(file, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMaxMs, sizeof(kUnacknowledgedMaxMs));
  return file;
}

}  // namespace stockalert::transfer
