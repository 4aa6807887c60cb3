// The common path of every gRPC handler: trace, deadline, peer, authentication, scope, rates, executor, status, log
// line and metrics.
//
//   grpc::ServerUnaryReactor* GetUser(grpc::CallbackServerContext* context, const GetUserRequest* request, User*
//   response) override {
//     return rpc::Unary(runner_, context, {"stockalert.user.v1.UserService/GetUser", rpc::Access::kRead}, request,
//     response,
//                       [this](const rpc::CallContext& call, const GetUserRequest& request) -> absl::StatusOr<User> {
//                       ... });
//   }
//
// The handler runs on a thread of one of the runner's bounded executors and may block until call.deadline: calls that
// wait for others have an executor of their own, so that they hold up none that do not, and in each the users take
// turns. A full executor answers RESOURCE_EXHAUSTED (OVERLOADED); a user with too many calls at once, or too many in a
// time, RESOURCE_EXHAUSTED (TOO_MANY_CALLS, RATE_LIMITED) with a delay.
//
// Until it is known who calls, a call costs none of these threads: what can be no key, and what is known to be none, is
// refused on gRPC's own, from where known keys go on, too; others are looked up on a few threads apart, one look-up a
// key at a time, and networks take turns.
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

// What a call keeps its thread waiting for.
enum class Work {
  kOwn,     // Memory and this service's own database.
  kOthers,  // Another service, the source of prices, or the log, too.
};

struct Method {
  const char* name;  // "stockalert.user.v1.UserService/GetUser"; a literal: metrics and logs hold it.
  Access access;
  Work work = Work::kOwn;
  // It makes what leaves something behind for long even when it is deleted at once: it counts against
  // creations_per_user_per_h.
  bool creates = false;
};

struct CallRunnerOptions {
  std::string name = "calls";  // The executor's threads, and the label `port` in metrics: "public", "internal".
  size_t threads = 8;
  size_t queue_max = 256;
  // For Work::kOthers. 0 threads: they have none of their own.
  size_t waiting_threads = 0;
  size_t waiting_queue_max = 256;
  // Rates and shares, on ports with keys, and whom to believe about where calls come from.
  CallSettings calls = {};
  // For rates; must outlive the runner. Null: the system's.
  const base::MonotonicClock* clock = nullptr;
  // A call without a deadline, or with a later one, gets this.
  absl::Duration call_time_max = absl::Seconds(30);
  size_t streams_max = 1000;
  size_t streams_per_user_max = 20;
  // How often an open stream's key is looked at again. A key that has ended ends its stream.
  absl::Duration stream_check_interval = absl::Seconds(2);
  // A stream on which nothing was sent for so long gets an empty response, so that no proxy between takes it for dead.
  absl::Duration stream_heartbeat_interval = absl::Seconds(30);
  // How long the client of a stream that is ended for an error may take to read what was sent before. Then it is cut
  // off.
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
  // Sends an empty response where nothing has been sent for `interval`, and nothing waits. Cuts off a stream that was
  // ended and whose client has not read the end for `end_patience`.
  virtual void Beat(absl::Duration interval, absl::Duration end_patience) = 0;
};

}  // namespace internal

class CallRunner {
 public:
  explicit CallRunner(const CallRunnerOptions& options);
  ~CallRunner();
  CallRunner(const CallRunner&) = delete;
  CallRunner& operator=(const CallRunner&) = delete;

  // For Unary: authenticates, then runs `work` on an executor; `finish` is called exactly once. `cost`: how many it
  // creates.
  void Run(::grpc::CallbackServerContext* context, const Method& method, size_t cost,
           std::function<absl::Status(const CallContext&)> work, std::function<void(::grpc::Status)> finish);

  // For ServerStream: as Run, for a stream, whose key is checked until RemoveStream. `open` runs on the executor.
  void RunStream(::grpc::CallbackServerContext* context, const Method& method,
                 std::shared_ptr<internal::OpenStream> stream, std::function<absl::Status(const CallContext&)> open);
  void RemoveStream(internal::OpenStream* stream, const absl::Status& status);

  // Runs blocking work of a user's stream (a query for its next page), among the user's calls. False: overloaded.
  bool TrySubmit(const std::string& user_id, std::function<void()> run, std::function<void()> drop = {});

  // Ends all streams, UNAVAILABLE (SHUTTING_DOWN), and takes no new ones.
  void EndStreams();
  // EndStreams, then waits for the calls that were accepted; those that did not begin in time get UNAVAILABLE. True:
  // all ended.
  bool Stop(absl::Time deadline);

 private:
  struct Entry;
  struct Rates;
  using Answered = std::function<void(const absl::StatusOr<Caller>&)>;
  using Admitted = std::function<void(const absl::Status&)>;

  std::string AddressOf(const ::grpc::CallbackServerContext& context) const;
  // Who calls, where that can be told at once.
  std::optional<absl::StatusOr<Caller>> FindCaller(const Method& method, const std::string& bearer);
  // Asks who a key belongs to, together with all who want to know at the same time.
  void LookUp(const std::string& bearer, const CallContext& call, Answered answered);
  // Calls `admitted` once `call` has its caller and may go on, here and now or on a thread of the look-ups.
  void Admit(const Method& method, size_t cost, const std::string& bearer, const MeshCallers::Shown& shown,
             const std::shared_ptr<CallContext>& call, bool stream, Admitted admitted);
  absl::Status TakeRates(const Method& method, size_t cost, const CallContext& call, bool stream);
  // `refuse` is called where neither `run` nor `drop` will be.
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
  // Each of them moves, and the checks go on: for /healthz.
  std::vector<std::unique_ptr<process::Movement>> moves_;
  process::Heartbeat checks_streams_;
  std::thread checker_;
};

// One unary call. `handler` is called as absl::StatusOr<Response>(const CallContext&, const Request&). `cost`: how many
// things it creates.
template <typename Request, typename Response, typename Handler>
::grpc::ServerUnaryReactor* Unary(CallRunner& runner, ::grpc::CallbackServerContext* context, const Method& method,
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

// The writing side of a server stream: a bounded queue in front of a client that reads at its own pace. Thread-safe;
// hold it by shared_ptr as long as you like. Once it has ended (by Finish, by the client, by its key) pushes are
// refused and do no harm.
template <typename Response>
class Stream : public internal::OpenStream, public std::enable_shared_from_this<Stream<Response>> {
 public:
  struct Hooks {
    // The queue has become empty: more can be pushed. Called on gRPC's threads, also while a push of yours is still
    // under way elsewhere; must be quick and not block.
    std::function<void()> on_drained = {};
    // The stream is over, for whatever reason: forget it. Called once, on gRPC's threads; must be quick.
    std::function<void()> on_done = {};
    // What a heartbeat says; without it, an empty response. Called from the runner's thread, under none of the stream's
    // locks; quick.
    std::function<Response()> heartbeat = {};
  };

  Stream(CallRunner& runner, size_t queue_max) : runner_(runner), queue_max_(queue_max) {}

  // False: the queue is full, or the stream has ended.
  bool TryPush(Response response);
  // How many more TryPush would take now.
  size_t free_space() const;
  bool ended() const;
  // Ends the stream after what was pushed before; an error ends it at once. Only the first call counts.
  void Finish(const absl::Status& status) override;
  void Beat(absl::Duration interval, absl::Duration end_patience) override;
  // Set it in `open`, before the first push.
  void SetHooks(Hooks hooks);

 private:
  template <typename Req, typename Resp, typename Open>
  friend ::grpc::ServerWriteReactor<Resp>* ServerStream(CallRunner&, ::grpc::CallbackServerContext*, const Method&,
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
::grpc::ServerWriteReactor<Response>* ServerStream(CallRunner& runner, ::grpc::CallbackServerContext* context,
                                                   const Method& method, const Request* request, size_t queue_max,
                                                   Open open);

}  // namespace stockalert::rpc

#include "services/common/grpc/stream_inl.h"
