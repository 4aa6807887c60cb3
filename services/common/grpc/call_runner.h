// The common path of every gRPC handler: trace, deadline, peer, authentication, scope, rates, executor, status, log
// line and metrics.
//
//   grpc::ServerUnaryReactor* GetUser(grpc::CallbackServerContext* context, const GetUserRequest* request,
//                                     User* response) override {
//     return rpc::RunUnary(
//         runner_, context, {"stockalert.user.v1.UserService/GetUser", rpc::Access::kRead}, request, response,
//         [this](const rpc::CallContext& call, const GetUserRequest& request) -> absl::StatusOr<User> { ... });
//   }
//
// The handler runs on a thread of one of the runner's bounded executors and may block until call.deadline. Calls that
// wait for other services have an executor of their own, so that they do not hold up the rest; in each executor users
// take turns. A full executor answers RESOURCE_EXHAUSTED (OVERLOADED). A user with too many calls at once, or too many
// in a period, gets RESOURCE_EXHAUSTED (TOO_MANY_CALLS, RATE_LIMITED) with a delay.
//
// Until the caller is known, a call uses none of these threads. Text that cannot be a key, and keys known to be wrong,
// are refused on gRPC's own threads; calls with known keys proceed from there. Other keys are looked up on a few
// separate threads, once per key at a time, and networks take turns.
//
// Thread-safe. The runner must outlive the server that it serves: Stop it after the server's Shutdown began (its
// streams end with EndStreams first), destroy it after the server.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/base/bounded_executor.h"
#include "services/common/base/clock.h"
#include "services/common/base/monotonic_clock.h"
#include "services/common/base/mutex.h"
#include "services/common/base/token_buckets.h"
#include "services/common/grpc/call_settings.h"
#include "services/common/grpc/caller.h"
#include "services/common/grpc/mesh_callers.h"
#include "services/common/grpc/peer.h"
#include "services/common/grpc/request_validation.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/grpc/stream_slots.h"
#include "services/common/process/liveness.h"

namespace stockalert::rpc {

enum class Access {
  kNobody,         // Needs no key (RegisterUser).
  kRead,           // Any key.
  kWrite,          // A key that is not read-only.
  kAdministrator,  // An administrator's key.
  kMesh,           // A service of the mesh that the flow table lets call it (mesh_callers.h), on internal ports.
};

// What a call's thread waits for.
enum class Work {
  kOwn,     // Memory and this service's own database.
  kOthers,  // Another service, the source of prices, or the log, too.
};

struct Method {
  const char* name;  // "stockalert.user.v1.UserService/GetUser"; a literal: metrics and logs hold it.
  Access access;
  Work work = Work::kOwn;
  // The call creates things that leave traces for long even if they are deleted at once, so it counts against
  // creations_per_user_per_h.
  bool creates = false;
};

struct CallRunnerOptions {
  std::string name = "calls";  // The executor's threads, and the label `port` in metrics: "public", "internal".
  size_t threads = 8;
  size_t queue_max = 256;
  // The executor for Work::kOthers. 0 threads: such calls share the other executor.
  size_t waiting_threads = 0;
  size_t waiting_queue_max = 256;
  // Rates and shares, on ports with keys, and the proxies to trust about client addresses.
  CallSettings calls = {};
  // For rates; must outlive the runner. Null: the system's.
  const base::MonotonicClock* clock = nullptr;
  // A call without a deadline, or with a later one, gets this.
  absl::Duration call_time_max = absl::Seconds(30);
  size_t streams_max = 1000;
  size_t streams_per_user_max = 20;
  // How often the key of an open stream is checked again. A key that expired or was revoked ends its stream.
  absl::Duration stream_check_interval = absl::Seconds(2);
  // A stream on which nothing was sent for this long gets an empty response, so that no proxy takes it for dead.
  absl::Duration stream_heartbeat_interval = absl::Seconds(30);
  // After an error ends a stream: how long its client may take to read what was sent before. Then it is cut off.
  absl::Duration stream_end_patience = absl::Seconds(5);
  std::string mesh_token = {};  // For Access::kMesh: the token that all services share. Empty: it is not taken.
  MeshSettings mesh = {};       // For Access::kMesh: how callers are told apart.
  Authenticator* authenticator = nullptr;  // For all but kNobody and kMesh; must outlive the runner.
};

namespace internal {

// What the runner needs of an open stream.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  virtual void Finish(const absl::Status& status) = 0;
  // Sends an empty response if nothing was sent for `interval` and nothing is queued. Cuts off a stream that was ended
  // `end_patience` ago and whose client has still not read the end.
  virtual void KeepAlive(absl::Duration interval, absl::Duration end_patience) = 0;
};

}  // namespace internal

class CallRunner {
 public:
  explicit CallRunner(const CallRunnerOptions& options);
  ~CallRunner();
  CallRunner(const CallRunner&) = delete;
  CallRunner& operator=(const CallRunner&) = delete;

  // For RunUnary: authenticates, then runs `work` on an executor; `finish` is called exactly once. `cost`: how many
  // things the call creates.
  void Run(::grpc::CallbackServerContext* context, const Method& method, size_t cost,
           std::function<absl::Status(const CallContext&)> work, std::function<void(::grpc::Status)> finish);

  // For RunServerStream: as Run, for a stream, whose key is checked until RemoveStream. `open` runs on the executor.
  void RunStream(::grpc::CallbackServerContext* context, const Method& method,
                 std::shared_ptr<internal::OpenStream> stream, std::function<absl::Status(const CallContext&)> open);
  void RemoveStream(internal::OpenStream* stream, const absl::Status& status);

  // Runs blocking work of a user's stream (a query for its next page), among the user's calls. False: overloaded.
  bool TrySubmit(const std::string& user_id, std::function<void()> run, std::function<void()> drop = {});

  // Ends all streams, UNAVAILABLE (SHUTTING_DOWN), and takes no new ones.
  void EndStreams();
  // EndStreams, then waits for accepted calls; those that have not started by `deadline` get UNAVAILABLE. True: all
  // ended.
  bool Stop(absl::Time deadline);

 private:
  struct Entry;
  struct Rates;
  using Answered = std::function<void(const absl::StatusOr<Caller>&)>;
  using Admitted = std::function<void(const absl::Status&)>;

  std::string AddressOf(const ::grpc::CallbackServerContext& context) const;
  // The caller, or the refusal, where that is known at once.
  std::optional<absl::StatusOr<Caller>> FindCaller(const Method& method, const std::string& bearer);
  // Asks whose key it is. Concurrent calls with the same key share one request.
  void AuthenticateKey(const std::string& bearer, const CallContext& call, Answered answered);
  // Calls `admitted` once `call` has its caller or is refused, at once or on a look-up thread.
  void Admit(const Method& method, size_t cost, const std::string& bearer, const MeshCallers::Shown& shown,
             const std::shared_ptr<CallContext>& call, bool stream, Admitted admitted);
  absl::Status AcquireRates(const Method& method, size_t cost, const CallContext& call, bool stream);
  // Calls exactly one of `run`, `drop` and `refuse`.
  void Submit(const Method& method, const CallContext& call, std::function<void()> run, std::function<void()> drop,
              const std::function<void(const absl::Status&)>& refuse);
  void CheckStreams();

  const CallRunnerOptions options_;
  MeshCallers mesh_callers_;
  const base::SystemMonotonicClock system_clock_;
  const std::unique_ptr<Rates> rates_;
  base::Mutex mutex_;
  base::ConditionVariable stopped_;
  std::unordered_map<internal::OpenStream*, std::shared_ptr<Entry>> streams_ ABSL_GUARDED_BY(mutex_);
  StreamSlots slots_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  base::Mutex asking_mutex_;
  std::unordered_map<std::string, std::vector<Answered>> asking_
      ABSL_GUARDED_BY(asking_mutex_);  // By the key that is being looked up.
  // Their tasks use what is above.
  base::BoundedExecutor executor_;
  std::unique_ptr<base::BoundedExecutor> waiting_executor_;  // Null: executor_ has them.
  std::unique_ptr<base::BoundedExecutor> look_ups_;          // Null: no keys here.
  // For /healthz: whether each executor moves, and whether the stream checks go on.
  std::vector<std::unique_ptr<process::Movement>> moves_;
  process::Heartbeat checks_streams_;
  std::thread checker_;
};

// One unary call. `handler` is called as absl::StatusOr<Response>(const CallContext&, const Request&). `cost`: how many
// things it creates.
template <typename Request, typename Response, typename Handler>
::grpc::ServerUnaryReactor* RunUnary(CallRunner& runner, ::grpc::CallbackServerContext* context, const Method& method,
                                     const Request* request, Response* response, Handler handler, size_t cost = 1) {
  ::grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  runner.Run(
      context, method, cost,
      [request, response, handler = std::move(handler)](const CallContext& call) -> absl::Status {
        if (absl::Status size = CheckRequestSize(*request); !size.ok()) return size;
        absl::StatusOr<Response> result = handler(call, *request);
        if (!result.ok()) return result.status();
        *response = *std::move(result);
        return absl::OkStatus();
      },
      [reactor](::grpc::Status status) { reactor->Finish(std::move(status)); });
  return reactor;
}

// The writing side of a server stream: a bounded queue for a client that reads at its own pace. Thread-safe; hold it by
// shared_ptr as long as you like. Once it has ended (by Finish, by the client, by its key) pushes are refused and do no
// harm.
template <typename Response>
class Stream : public internal::OpenStream, public std::enable_shared_from_this<Stream<Response>> {
 public:
  struct Hooks {
    // The queue has become empty: more can be pushed. Called on gRPC's threads, possibly while another thread is still
    // in a push; must be quick and not block.
    std::function<void()> on_drained = {};
    // The stream is over, for whatever reason: forget it. Called once, on gRPC's threads; must be quick.
    std::function<void()> on_done = {};
    // Makes the response of a heartbeat; without it, an empty one. Called on the runner's thread without any of the
    // stream's locks; must be quick.
    std::function<Response()> heartbeat = {};
  };

  Stream(CallRunner& runner, size_t queue_max) : runner_(runner), queue_max_(queue_max) {}

  // False: the queue is full, or the stream has ended.
  bool TryPush(Response response);
  // How many more responses TryPush would accept now.
  size_t free_space() const;
  bool ended() const;
  // Ends the stream after what was pushed before; an error ends it at once. Only the first call counts.
  void Finish(const absl::Status& status) override;
  void KeepAlive(absl::Duration interval, absl::Duration end_patience) override;
  // Set it in `open`, before the first push.
  void SetHooks(Hooks hooks);

 private:
  template <typename Req, typename Resp, typename Open>
  friend ::grpc::ServerWriteReactor<Resp>* RunServerStream(CallRunner&, ::grpc::CallbackServerContext*, const Method&,
                                                           const Req*, size_t, Open);
  class Reactor;
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnWritten(bool ok);
  void OnCancelled();
  void OnOver();

  CallRunner& runner_;
  const size_t queue_max_;
  mutable base::Mutex mutex_;
  Reactor* reactor_ ABSL_GUARDED_BY(mutex_) = nullptr;                        // Null once gRPC is done with it.
  ::grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;  // There as long as reactor_ is.
  std::deque<Response> queue_ ABSL_GUARDED_BY(mutex_);
  Response writing_;  // gRPC's while writing_now_.
  bool writing_now_ ABSL_GUARDED_BY(mutex_) = false;
  bool beating_ ABSL_GUARDED_BY(mutex_) = false;  // What is being written is a heartbeat.
  std::chrono::steady_clock::time_point last_write_ ABSL_GUARDED_BY(mutex_) = std::chrono::steady_clock::now();
  bool opened_ ABSL_GUARDED_BY(mutex_) = false;  // SetHooks was called.
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called.
  std::chrono::steady_clock::time_point ending_since_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC was told.
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Hooks hooks_ ABSL_GUARDED_BY(mutex_);
};

// One server stream. `open` is called on the executor, after authentication, as absl::Status(const CallContext&, const
// Request&, std::shared_ptr<Stream<Response>>): it subscribes, sets the hooks, and may push; an error ends the stream.
template <typename Request, typename Response, typename Open>
::grpc::ServerWriteReactor<Response>* RunServerStream(CallRunner& runner, ::grpc::CallbackServerContext* context,
                                                      const Method& method, const Request* request, size_t queue_max,
                                                      Open open);

}  // namespace stockalert::rpc

#include "services/common/grpc/stream_inl.h"
