#include "services/common/grpc/call_runner.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/base/abseil.h"
#include "services/common/base/error.h"
#include "services/common/base/ids.h"
#include "services/common/base/status_macros.h"
#include "services/common/grpc/channel.h"
#include "services/common/log/log.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::rpc {
namespace {

constexpr std::string_view kBearer = "bearer ";
// Far above any key that was issued; longer ones are not even hashed.
constexpr size_t kKeyBytesMax = 256;

const char* NameOf(::grpc::StatusCode code) {
  switch (code) {
    case ::grpc::StatusCode::OK: return "OK";
    case ::grpc::StatusCode::CANCELLED: return "CANCELLED";
    case ::grpc::StatusCode::UNKNOWN: return "UNKNOWN";
    case ::grpc::StatusCode::INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case ::grpc::StatusCode::DEADLINE_EXCEEDED: return "DEADLINE_EXCEEDED";
    case ::grpc::StatusCode::NOT_FOUND: return "NOT_FOUND";
    case ::grpc::StatusCode::ALREADY_EXISTS: return "ALREADY_EXISTS";
    case ::grpc::StatusCode::PERMISSION_DENIED: return "PERMISSION_DENIED";
    case ::grpc::StatusCode::UNAUTHENTICATED: return "UNAUTHENTICATED";
    case ::grpc::StatusCode::RESOURCE_EXHAUSTED: return "RESOURCE_EXHAUSTED";
    case ::grpc::StatusCode::FAILED_PRECONDITION: return "FAILED_PRECONDITION";
    case ::grpc::StatusCode::ABORTED: return "ABORTED";
    case ::grpc::StatusCode::OUT_OF_RANGE: return "OUT_OF_RANGE";
    case ::grpc::StatusCode::UNIMPLEMENTED: return "UNIMPLEMENTED";
    case ::grpc::StatusCode::INTERNAL: return "INTERNAL";
    case ::grpc::StatusCode::UNAVAILABLE: return "UNAVAILABLE";
    default: return "DATA_LOSS";
  }
}

std::string FindMetadata(const ::grpc::CallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

// The key of "Bearer KEY", or nothing.
std::string BearerKey(const std::string& authorization) {
  if (authorization.size() <= kBearer.size()) return "";
  for (size_t i = 0; i < kBearer.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != kBearer[i]) return "";
  }
  const size_t begin = authorization.find_first_not_of(' ', kBearer.size());
  return begin == std::string::npos ? "" : authorization.substr(begin);
}

absl::Status Overloaded() {
  return base::ResourceExhausted("OVERLOADED", "the service has too many calls at once: try again a little later",
                                 absl::Milliseconds(200));
}

absl::Status ShuttingDown() { return base::Unavailable("SHUTTING_DOWN", "the service is stopping; nothing was done: try again"); }

// Counts and logs the end of a call.
void Record(const std::string& port, const Method& method, const CallContext& call, const absl::Status& status,
            const ::grpc::Status& sent, absl::Time begun) {
  const absl::Duration took = absl::Now() - begun;
  const char* code = NameOf(sent.error_code());
  metrics::GetCounter("stockalert_rpc_calls_total", "Calls answered, by method and code",
                      {{"port", port}, {"method", method.name}, {"code", code}})
      .Increment();
  metrics::GetHistogram("stockalert_rpc_call_seconds", "How long calls took, from their arrival", {{"port", port}, {"method", method.name}})
      .Observe(absl::ToDoubleSeconds(took));
  const bool ours = sent.error_code() == ::grpc::StatusCode::INTERNAL || sent.error_code() == ::grpc::StatusCode::DATA_LOSS;
  const log::Level level = ours ? log::Level::kError : sent.error_code() == ::grpc::StatusCode::UNAVAILABLE ? log::Level::kWarning : log::Level::kDebug;
  if (!log::IsOn(level)) return;
  static log::Limiter unavailable_limiter(absl::Seconds(1));
  if (level == log::Level::kWarning && !unavailable_limiter.Allow()) return;
  log::Write(level, "call",
             {{"method", method.name},
              {"code", code},
              {"reason", base::ReasonOf(status)},
              {"error", status.ok() ? "" : std::string(base::ToStd(status.message()))},
              {"took_ms", absl::ToDoubleMilliseconds(took)},
              {"user_id", call.caller.user_id},
              {"peer", call.peer},
              {"trace_id", call.trace.trace_id}});
}

}  // namespace

struct CallRunner::Entry {
  std::shared_ptr<internal::OpenStream> stream;
  Method method;
  CallContext call;
  std::string bearer;
  absl::Time begun;
  bool counted = false;  // Among its user's streams.
  bool opened = false;   // `open` has returned: it has hooks, and may be looked after.
};

CallRunner::CallRunner(const CallRunnerOptions& options)
    : options_(options),
      executor_("rpc-" + options.name, options.threads, options.queue_max),
      // A call may take all of its time.
      calls_move_(
          "calls_" + options.name, [this] { return process::Movement::State{executor_.unfinished(), executor_.finished()}; },
          std::max(process::Liveness::kBound, 2 * options.call_time_max)),
      checks_streams_("stream_keys_" + options.name) {
  checks_streams_.Beat();
  checker_ = std::thread([this] { CheckStreams(); });
}

CallRunner::~CallRunner() {
  EndStreams();
  checker_.join();
}

absl::StatusOr<CallContext> CallRunner::Authorize(const Method& method, const std::string& bearer, const std::string& mesh_token,
                                                  CallContext call) {
  switch (method.access) {
    case Access::kNobody: return call;
    case Access::kMesh:
      if (options_.mesh_token.empty() || !base::ConstantTimeEquals(mesh_token, options_.mesh_token)) {
        return base::Unauthenticated("MESH_TOKEN_INVALID", "this port is for the services of the mesh: the mesh token is missing or wrong");
      }
      return call;
    default: break;
  }
  if (bearer.empty()) {
    return base::Unauthenticated("API_KEY_MISSING", "send the metadata `authorization: Bearer <API key>`; RegisterUser issues a key");
  }
  if (bearer.size() > kKeyBytesMax || options_.authenticator == nullptr) {
    return base::Unauthenticated("API_KEY_INVALID", "the API key is not known, has expired or was revoked");
  }
  STOCKALERT_ASSIGN_OR_RETURN(call.caller, options_.authenticator->Authenticate(bearer, call.trace, call.deadline));
  if (method.access == Access::kAdministrator && !call.caller.is_administrator) {
    return base::PermissionDenied("ADMINISTRATOR_ONLY", "this call needs the administrator's key");
  }
  if (method.access != Access::kRead && call.caller.read_only) {
    return base::PermissionDenied("API_KEY_READ_ONLY", "this key may only read: use one of scope SCOPE_FULL");
  }
  return call;
}

void CallRunner::Run(::grpc::CallbackServerContext* context, const Method& method,
                     std::function<absl::Status(const CallContext&)> work, std::function<void(::grpc::Status)> finish) {
  const absl::Time begun = absl::Now();
  auto call = std::make_shared<CallContext>();
  call->trace = trace::Continue(FindMetadata(*context, trace::kTraceparent));
  call->deadline = std::min(absl::FromChrono(context->deadline()), begun + options_.call_time_max);
  call->peer = context->peer();
  const auto end = [this, call, method, begun, finish = std::move(finish)](const absl::Status& status) {
    ::grpc::Status sent = ToGrpc(status);
    Record(options_.name, method, *call, status, sent, begun);
    finish(std::move(sent));
  };
  auto run = [this, context, call, method, end, work = std::move(work), bearer = BearerKey(FindMetadata(*context, "authorization")),
              mesh_token = FindMetadata(*context, kMeshTokenMetadata)] {
    // Nobody waits for the answer any more: the work would only stand in others' way.
    if (context->IsCancelled()) return end(absl::CancelledError("the client has gone"));
    if (absl::Now() >= call->deadline) {
      return end(base::DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed before the call began; nothing was done"));
    }
    absl::StatusOr<CallContext> authorized = Authorize(method, bearer, mesh_token, *call);
    if (!authorized.ok()) return end(authorized.status());
    *call = *std::move(authorized);
    end(work(*call));
  };
  if (!executor_.TrySubmit(std::move(run), [end] { end(ShuttingDown()); })) {
    bool ending = false;
    {
      std::lock_guard lock(mutex_);
      ending = ending_;
    }
    end(ending ? ShuttingDown() : Overloaded());
  }
}

void CallRunner::RunStream(::grpc::CallbackServerContext* context, const Method& method, std::shared_ptr<internal::OpenStream> stream,
                           std::function<absl::Status(const CallContext&)> open) {
  auto entry = std::make_shared<Entry>();
  entry->stream = std::move(stream);
  entry->method = method;
  entry->begun = absl::Now();
  entry->bearer = BearerKey(FindMetadata(*context, "authorization"));
  entry->call.trace = trace::Continue(FindMetadata(*context, trace::kTraceparent));
  entry->call.deadline = entry->begun + options_.call_time_max;  // Of the opening; a stream lives as long as its client wants.
  entry->call.peer = context->peer();
  {
    std::unique_lock lock(mutex_);
    if (ending_ || streams_.size() >= options_.streams_max) {
      const absl::Status refusal = ending_ ? ShuttingDown() : Overloaded();
      lock.unlock();
      Record(options_.name, method, entry->call, refusal, ToGrpc(refusal), entry->begun);
      return entry->stream->Finish(refusal);
    }
    streams_[entry->stream.get()] = entry;
  }
  metrics::GetGauge("stockalert_rpc_open_streams", "Server streams that are open", {{"port", options_.name}, {"method", method.name}})
      .Increment();
  auto run = [this, entry, open = std::move(open), mesh_token = FindMetadata(*context, kMeshTokenMetadata)] {
    absl::StatusOr<CallContext> authorized = Authorize(entry->method, entry->bearer, mesh_token, entry->call);
    if (!authorized.ok()) return entry->stream->Finish(authorized.status());
    {
      std::unique_lock lock(mutex_);
      // Over already: the client has gone. `open` must not subscribe what nobody would end.
      if (!streams_.contains(entry->stream.get())) return;
      entry->call = *std::move(authorized);
      if (!entry->call.caller.user_id.empty()) {
        size_t& count = streams_of_user_[entry->call.caller.user_id];
        if (count >= options_.streams_per_user_max) {
          lock.unlock();
          return entry->stream->Finish(base::ResourceExhausted(
              "TOO_MANY_STREAMS", "this user has too many open streams: end one before opening another"));
        }
        ++count;
        entry->counted = true;
      }
    }
    const absl::Status status = open(entry->call);
    if (!status.ok()) return entry->stream->Finish(status);
    std::lock_guard lock(mutex_);
    entry->opened = true;
  };
  if (!executor_.TrySubmit(std::move(run), [entry] { entry->stream->Finish(ShuttingDown()); })) entry->stream->Finish(Overloaded());
}

void CallRunner::RemoveStream(internal::OpenStream* stream, const absl::Status& status) {
  std::shared_ptr<Entry> entry;
  CallContext call;
  {
    std::lock_guard lock(mutex_);
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return;
    entry = found->second;
    call = entry->call;
    streams_.erase(found);
    if (entry->counted) {
      const auto count = streams_of_user_.find(call.caller.user_id);
      if (--count->second == 0) streams_of_user_.erase(count);
    }
  }
  metrics::GetGauge("stockalert_rpc_open_streams", "Server streams that are open",
                    {{"port", options_.name}, {"method", entry->method.name}})
      .Decrement();
  Record(options_.name, entry->method, call, status, ToGrpc(status), entry->begun);
}

bool CallRunner::TrySubmit(std::function<void()> run, std::function<void()> drop) {
  return executor_.TrySubmit(std::move(run), std::move(drop));
}

void CallRunner::EndStreams() {
  std::vector<std::shared_ptr<Entry>> open;
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    for (const auto& [stream, entry] : streams_) open.push_back(entry);
  }
  stopped_.notify_all();
  for (const std::shared_ptr<Entry>& entry : open) entry->stream->Finish(ShuttingDown());
}

bool CallRunner::Stop(absl::Time deadline) {
  EndStreams();
  return executor_.Stop(deadline);
}

// Revoked and expired keys end their streams too. Where the key cannot be checked (the user service is down), the stream goes on: it was
// rightly opened, and breaking all streams would add to the trouble.
void CallRunner::CheckStreams() {
  for (;;) {
    checks_streams_.Beat();
    std::vector<std::shared_ptr<Entry>> open;
    {
      std::unique_lock lock(mutex_);
      stopped_.wait_for(lock, absl::ToChronoNanoseconds(options_.stream_check_interval), [this] { return ending_; });
      if (ending_) return checks_streams_.End();
      for (const auto& [stream, entry] : streams_) {
        if (entry->opened) open.push_back(entry);
      }
    }
    for (const std::shared_ptr<Entry>& entry : open) entry->stream->Beat(options_.stream_heartbeat_interval);
    for (const std::shared_ptr<Entry>& entry : open) {
      if (entry->call.caller.key_id.empty()) continue;
      if (options_.authenticator == nullptr) break;
      checks_streams_.Beat();
      const absl::StatusOr<Caller> caller =
          options_.authenticator->Authenticate(entry->bearer, entry->call.trace, absl::Now() + absl::Seconds(1));
      if (caller.status().code() == absl::StatusCode::kUnauthenticated) entry->stream->Finish(caller.status());
      // Nobody can tell now: the others are asked in the next round, after the next heartbeats.
      if (!caller.ok() && caller.status().code() != absl::StatusCode::kUnauthenticated) break;
      std::lock_guard lock(mutex_);
      if (ending_) return checks_streams_.End();
    }
  }
}

}  // namespace stockalert::rpc
