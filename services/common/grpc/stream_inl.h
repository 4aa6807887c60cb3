// The implementation of call_runner.h's Stream and RunServerStream. Not for inclusion elsewhere.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "services/common/base/mutex.h"
#include "services/common/grpc/call_runner.h"

namespace stockalert::rpc {

// Owned by gRPC: deletes itself when gRPC is done.
template <typename Response>
class Stream<Response>::Reactor final : public ::grpc::ServerWriteReactor<Response> {
 public:
  explicit Reactor(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  void OnWriteDone(bool ok) override { stream_->OnWritten(ok); }
  void OnCancel() override { stream_->OnCancelled(); }
  void OnDone() override {
    stream_->OnOver();
    delete this;
  }

 private:
  const std::shared_ptr<Stream> stream_;
};

template <typename Response>
bool Stream<Response>::TryPush(Response response) {
  base::MutexLock lock(mutex_);
  if (ending_ || queue_.size() >= queue_max_) return false;
  queue_.push_back(std::move(response));
  Pump();
  return true;
}

template <typename Response>
size_t Stream<Response>::free_space() const {
  base::MutexLock lock(mutex_);
  return ending_ ? 0 : queue_max_ - queue_.size();
}

template <typename Response>
bool Stream<Response>::ended() const {
  base::MutexLock lock(mutex_);
  return ending_;
}

template <typename Response>
void Stream<Response>::Finish(const absl::Status& status) {
  base::MutexLock lock(mutex_);
  if (ending_) return;
  ending_ = true;
  ending_since_ = std::chrono::steady_clock::now();
  status_ = status;
  if (!status.ok()) queue_.clear();
  Pump();
}

template <typename Response>
void Stream<Response>::KeepAlive(absl::Duration interval, absl::Duration end_patience) {
  const auto is_due = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return opened_ && !ending_ && !writing_now_ && queue_.empty() && reactor_ != nullptr &&
           std::chrono::steady_clock::now() - last_write_ >= absl::ToChronoNanoseconds(interval);
  };
  std::function<Response()> heartbeat;
  {
    base::MutexLock lock(mutex_);
    // It cannot be ended in order while a write waits for its client.
    if (ending_ && !status_.ok() && !finished_ && reactor_ != nullptr &&
        std::chrono::steady_clock::now() - ending_since_ >= absl::ToChronoNanoseconds(end_patience)) {
      context_->TryCancel();
      return;
    }
    if (!is_due()) return;
    heartbeat = hooks_.heartbeat;
  }
  // Asked for outside the lock, so that it may look at what pushes.
  Response response = heartbeat ? heartbeat() : Response();
  base::MutexLock lock(mutex_);
  // Something was pushed meanwhile: that is a sign of life itself, and the heartbeat would come behind it.
  if (!is_due()) return;
  queue_.push_back(std::move(response));
  beating_ = true;
  Pump();
}

template <typename Response>
void Stream<Response>::SetHooks(Hooks hooks) {
  base::MutexLock lock(mutex_);
  if (reactor_ == nullptr) {
    // The client has gone while the stream was being opened.
    lock.Unlock();
    if (hooks.on_done) hooks.on_done();
    return;
  }
  hooks_ = std::move(hooks);
  opened_ = true;
}

// Starts the next write or the finish. gRPC's calls are made under the lock: its reactions come on other threads, which
// then wait.
template <typename Response>
void Stream<Response>::Pump() {
  if (writing_now_ || finished_ || reactor_ == nullptr) return;
  if (!queue_.empty()) {
    writing_ = std::move(queue_.front());
    queue_.pop_front();
    writing_now_ = true;
    last_write_ = std::chrono::steady_clock::now();
    reactor_->StartWrite(&writing_);
    return;
  }
  if (ending_) {
    finished_ = true;
    reactor_->Finish(ToGrpc(status_));
  }
}

template <typename Response>
void Stream<Response>::OnWritten(bool ok) {
  std::function<void()> drained;
  {
    base::MutexLock lock(mutex_);
    writing_now_ = false;
    // Nobody waits for room after a heartbeat: it took none.
    const bool beat = std::exchange(beating_, false);
    if (!ok) {
      queue_.clear();
      if (!ending_) {
        ending_ = true;
        status_ = absl::CancelledError("the client has gone");
      }
    }
    Pump();
    if (!beat && !ending_ && queue_.empty() && !writing_now_) drained = hooks_.on_drained;
  }
  if (drained) drained();
}

template <typename Response>
void Stream<Response>::OnCancelled() {
  Finish(absl::CancelledError("the client has gone"));
}

template <typename Response>
void Stream<Response>::OnOver() {
  std::function<void()> done;
  absl::Status status;
  {
    base::MutexLock lock(mutex_);
    reactor_ = nullptr;
    ending_ = true;
    status = status_;
    done = std::move(hooks_.on_done);
    hooks_ = Hooks{};
  }
  runner_.RemoveStream(this, status);
  if (done) done();
}

template <typename Request, typename Response, typename Open>
::grpc::ServerWriteReactor<Response>* RunServerStream(CallRunner& runner, ::grpc::CallbackServerContext* context,
                                                      const Method& method, const Request* request, size_t queue_max,
                                                      Open open) {
  auto stream = std::make_shared<Stream<Response>>(runner, queue_max);
  auto* reactor = new typename Stream<Response>::Reactor(stream);
  {
    base::MutexLock lock(stream->mutex_);
    stream->reactor_ = reactor;
    stream->context_ = context;
  }
  // The request belongs to gRPC and is gone when the stream ends, which the client may do before `open` has run. Of one
  // that is too large there is no copy.
  absl::Status size = CheckRequestSize(*request);
  auto copy = size.ok() ? *request : Request();
  runner.RunStream(context, method, stream,
                   [size = std::move(size), request = std::move(copy), stream, open = std::move(open)](
                       const CallContext& call) { return size.ok() ? open(call, request, stream) : size; });
  return reactor;
}

}  // namespace stockalert::rpc
