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
// Look-ups of keys wait for the user service, or its database; a fifth of a second's worth of them may wait.
constexpr size_t kLookUpThreads = 4;
constexpr size_t kLookUpsMax = 256;
constexpr size_t kLookUpsPerNetworkMax = 64;
// What the network around one (a /24, a /48) may try out, in what one may.
constexpr double kAround = 4.0;
constexpr absl::Duration kLookUpTime = absl::Seconds(2);

const char* NameOf(::grpc::StatusCode code) {
  switch (code) {
    case ::grpc::StatusCode::OK:
      return "OK";
    case ::grpc::StatusCode::CANCELLED:
      return "CANCELLED";
    case ::grpc::StatusCode::UNKNOWN:
      return "UNKNOWN";
    case ::grpc::StatusCode::INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case ::grpc::StatusCode::DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case ::grpc::StatusCode::NOT_FOUND:
      return "NOT_FOUND";
    case ::grpc::StatusCode::ALREADY_EXISTS:
      return "ALREADY_EXISTS";
    case ::grpc::StatusCode::PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case ::grpc::StatusCode::UNAUTHENTICATED:
      return "UNAUTHENTICATED";
    case ::grpc::StatusCode::RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case ::grpc::StatusCode::FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case ::grpc::StatusCode::ABORTED:
      return "ABORTED";
    case ::grpc::StatusCode::OUT_OF_RANGE:
      return "OUT_OF_RANGE";
    case ::grpc::StatusCode::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case ::grpc::StatusCode::INTERNAL:
      return "INTERNAL";
    case ::grpc::StatusCode::UNAVAILABLE:
      return "UNAVAILABLE";
    default:
      return "DATA_LOSS";
  }
}

std::string FindMetadata(const ::grpc::CallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

// All lines of a header, in their order, as one list.
std::string JoinMetadata(const ::grpc::CallbackServerContext& context, const char* key) {
  std::string all;
  const auto [begin, end] = context.client_metadata().equal_range(key);
  for (auto line = begin; line != end; ++line) {
    if (line != begin) all += ',';
    all.append(line->second.data(), line->second.size());
  }
  return all;
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

// What tells which service calls; nothing is looked at where that does not matter.
MeshCallers::Shown ShownBy(const ::grpc::CallbackServerContext& context, const Method& method) {
  return method.access == Access::kMesh ? MeshCallers::ReadShown(context) : MeshCallers::Shown();
}

absl::Status Overloaded() {
  return base::ResourceExhausted("OVERLOADED", "the service has too many calls at once: try again a little later",
                                 absl::Milliseconds(200));
}

absl::Status NoStreamLeft() {
  return base::ResourceExhausted(
      "OVERLOADED", "all streams are taken, by many users with few each: try again a little later", absl::Seconds(5));
}

absl::Status StreamGivenUp() {
  return base::MakeError(absl::StatusCode::kUnavailable,
                         "others wait for a stream, and this user or network has the most: the newest of theirs ended; "
                         "nothing is lost by it",
                         base::ErrorDetails{"STREAM_GIVEN_UP", {}, {}, absl::Seconds(5)});
}

absl::Status TooManyCalls(int max) {
  return base::ResourceExhausted("TOO_MANY_CALLS",
                                 "this user has too many calls under way at once: wait for some to end",
                                 absl::Milliseconds(200), {{"limit", std::to_string(max)}});
}

absl::Status RateLimited(absl::Duration wait, int limit, const char* what, const char* per) {
  return base::ResourceExhausted("RATE_LIMITED",
                                 "too many " + std::string(what) + ": at most " + std::to_string(limit) + " " + per,
                                 wait, {{"limit", std::to_string(limit)}, {"of", what}, {"per", per}});
}

absl::Status NoSuchKey() {
  return base::Unauthenticated("API_KEY_INVALID", "the API key is not known, has expired or was revoked");
}

// May this caller do that?
absl::Status CheckScope(const Method& method, const Caller& caller) {
  if (method.access == Access::kNobody || method.access == Access::kMesh) return absl::OkStatus();
  if (method.access == Access::kAdministrator && !caller.is_administrator) {
    return base::PermissionDenied("ADMINISTRATOR_ONLY", "this call needs the administrator's key");
  }
  if (method.access != Access::kRead && caller.read_only) {
    return base::PermissionDenied("API_KEY_READ_ONLY", "this key may only read: use one of scope SCOPE_FULL");
  }
  return absl::OkStatus();
}

// Whose turn a call takes. Our own calls are nobody's: no share bounds them.
std::string TurnOf(const Method& method, const CallContext& call) {
  if (method.access == Access::kMesh || call.caller.is_administrator) return "";
  return method.access == Access::kNobody ? NetworksOf(call.peer).narrow : call.caller.user_id;
}

size_t RunningMax(size_t threads) { return threads - std::min(threads - 1, std::max<size_t>(threads / 4, 1)); }

absl::Status ShuttingDown() {
  return base::Unavailable("SHUTTING_DOWN", "the service is stopping; nothing was done: try again");
}

prometheus::Counter& Refusals(const std::string& port, const std::string& reason) {
  return metrics::GetCounter("stockalert_rpc_refusals_total",
                             "Calls refused for what the caller is or does too much of, by reason",
                             {{"port", port}, {"reason", reason}});
}

prometheus::Counter& StreamsGivenUp(const std::string& port) {
  return metrics::GetCounter("stockalert_rpc_streams_given_up_total",
                             "Streams ended for others that had fewer, where no more fit", {{"port", port}});
}

// Counts and logs the end of a call.
void Record(const std::string& port, const Method& method, const CallContext& call, const absl::Status& status,
            const ::grpc::Status& sent, absl::Time begun) {
  const absl::Duration took = absl::Now() - begun;
  const char* code = NameOf(sent.error_code());
  metrics::GetCounter("stockalert_rpc_calls_total", "Calls answered, by method and code",
                      {{"port", port}, {"method", method.name}, {"code", code}})
      .Increment();
  metrics::GetHistogram("stockalert_rpc_call_seconds", "How long calls took, from their arrival",
                        {{"port", port}, {"method", method.name}})
      .Observe(absl::ToDoubleSeconds(took));
  if (sent.error_code() == ::grpc::StatusCode::RESOURCE_EXHAUSTED ||
      sent.error_code() == ::grpc::StatusCode::UNAUTHENTICATED) {
    const std::string reason = base::ReasonOf(status);
    Refusals(port, reason.empty() ? "OTHER" : reason).Increment();
  }
  const bool ours =
      sent.error_code() == ::grpc::StatusCode::INTERNAL || sent.error_code() == ::grpc::StatusCode::DATA_LOSS;
  const log::Level level = ours                                                   ? log::Level::kError
                           : sent.error_code() == ::grpc::StatusCode::UNAVAILABLE ? log::Level::kWarning
                                                                                  : log::Level::kDebug;
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
              {"service", call.service},
              {"trace_id", call.trace.trace_id}});
}

}  // namespace

struct CallRunner::Entry {
  std::shared_ptr<internal::OpenStream> stream;
  Method method;
  CallContext call;
  std::string bearer;
  absl::Time begun;
  bool opened = false;  // `open` has returned: it has hooks, and may be looked after.
};

struct CallRunner::Rates {
  Rates(const base::MonotonicClock& clock, const CallSettings& settings)
      : reads(clock, {1.0 * settings.reads_per_user_per_s, 5.0 * settings.reads_per_user_per_s}),
        writes(clock, {1.0 * settings.writes_per_user_per_s, 10.0 * settings.writes_per_user_per_s}),
        creations(clock, {settings.creations_per_user_per_h / 3600.0, 1.0 * settings.creations_per_user_per_h}),
        stream_openings(
            clock, {settings.stream_openings_per_user_per_min / 60.0, 1.0 * settings.stream_openings_per_user_per_min}),
        unknown_keys(
            clock, {settings.unknown_keys_per_network_per_min / 60.0, 1.0 * settings.unknown_keys_per_network_per_min}),
        unknown_keys_around(clock, {kAround * settings.unknown_keys_per_network_per_min / 60.0,
                                    kAround * settings.unknown_keys_per_network_per_min}) {
    // Whoever parsed the flags has looked at it.
    absl::StatusOr<TrustedProxies> proxies = TrustedProxies::Parse(settings.trusted_proxies);
    if (proxies.ok()) trusted_proxies = *std::move(proxies);
  }

  base::TokenBuckets reads;
  base::TokenBuckets writes;
  base::TokenBuckets creations;
  base::TokenBuckets stream_openings;
  base::TokenBuckets unknown_keys;
  base::TokenBuckets unknown_keys_around;
  TrustedProxies trusted_proxies;
};

CallRunner::CallRunner(const CallRunnerOptions& options)
    : options_(options),
      mesh_callers_(options.mesh, options.mesh_token),
      rates_(new Rates(options.clock == nullptr ? system_clock_ : *options.clock, options.calls)),
      slots_(options.streams_max, options.streams_per_user_max),
      executor_("rpc-" + options.name, options.threads, options.queue_max,
                {.tasks_max = static_cast<size_t>(options.calls.calls_per_user_max),
                 .running_max = RunningMax(options.threads)}),
      checks_streams_("stream_keys_" + options.name) {
  // A series that begins at its first event hides that event from rate().
  for (const char* reason : {"OVERLOADED", "RATE_LIMITED", "TOO_MANY_CALLS", "TOO_MANY_STREAMS"})
    Refusals(options_.name, reason);
  StreamsGivenUp(options_.name);
  // A call may take all of its time.
  const auto watch = [&](const char* what, const base::BoundedExecutor& executor) {
    moves_.push_back(std::make_unique<process::Movement>(
        what + options.name,
        [&executor] { return process::Movement::State{executor.unfinished(), executor.finished()}; },
        std::max(process::Liveness::kBound, 2 * options.call_time_max)));
  };
  watch("calls_", executor_);
  if (options.waiting_threads > 0) {
    waiting_executor_ = std::make_unique<base::BoundedExecutor>(
        "rpc-w-" + options.name, options.waiting_threads, options.waiting_queue_max,
        base::BoundedExecutor::Shares{.tasks_max = static_cast<size_t>(options.calls.calls_per_user_max),
                                      .running_max = RunningMax(options.waiting_threads)});
    watch("waiting_calls_", *waiting_executor_);
  }
  if (options.authenticator != nullptr) {
    look_ups_ = std::make_unique<base::BoundedExecutor>(
        "rpc-key", kLookUpThreads, kLookUpsMax,
        base::BoundedExecutor::Shares{.tasks_max = kLookUpsPerNetworkMax, .running_max = RunningMax(kLookUpThreads)});
    watch("key_look_ups_", *look_ups_);
  }
  checks_streams_.Beat();
  checker_ = std::thread([this] { CheckStreams(); });
}

CallRunner::~CallRunner() {
  EndStreams();
  checker_.join();
}

std::string CallRunner::AddressOf(const ::grpc::CallbackServerContext& context) const {
  return ClientAddress(context.peer(), rates_->trusted_proxies.empty() ? "" : JoinMetadata(context, "x-forwarded-for"),
                       rates_->trusted_proxies);
}

std::optional<absl::StatusOr<Caller>> CallRunner::FindCaller(const Method& method, const std::string& bearer) {
  switch (method.access) {
    case Access::kNobody:
      return Caller();
    case Access::kMesh:
      return Caller();  // A service: mesh_callers_ has told which.
    default:
      break;
  }
  if (bearer.empty()) {
    return base::Unauthenticated("API_KEY_MISSING",
                                 "send the metadata `authorization: Bearer <API key>`; RegisterUser issues a key");
  }
  if (bearer.size() > kKeyBytesMax || options_.authenticator == nullptr) return NoSuchKey();
  return options_.authenticator->Find(bearer);
}

void CallRunner::AuthenticateKey(const std::string& bearer, const CallContext& call, Answered answered) {
  const ClientNetworks networks = NetworksOf(call.peer);
  // Who tries out keys waits; their neighbours, whose keys were good a moment ago, do not.
  std::optional<absl::Duration> wait = rates_->unknown_keys_around.TimeUntilAvailable(networks.wide);
  if (!wait) wait = rates_->unknown_keys.TimeUntilAvailable(networks.narrow);
  if (wait && !options_.authenticator->HasKnown(bearer)) {
    return answered(RateLimited(*wait, options_.calls.unknown_keys_per_network_per_min, "unknown keys",
                                "a minute from one network"));
  }
  {
    base::MutexLock lock(asking_mutex_);
    const auto [asked, first] = asking_.try_emplace(bearer);
    if (asked->second.size() >= static_cast<size_t>(options_.calls.calls_per_user_max)) {
      lock.Unlock();
      return answered(TooManyCalls(options_.calls.calls_per_user_max));
    }
    asked->second.push_back(std::move(answered));
    if (!first) return;
  }
  const auto answer_all = [this, bearer](const absl::StatusOr<Caller>& answer) {
    std::vector<Answered> all;
    {
      base::MutexLock lock(asking_mutex_);
      const auto asked = asking_.find(bearer);
      all.swap(asked->second);
      asking_.erase(asked);
    }
    for (const Answered& one : all) one(answer);
  };
  const auto taken = look_ups_->TrySubmit(
      networks.wide,
      [this, bearer, trace = call.trace, networks, answer_all] {
        const absl::StatusOr<Caller> answer =
            options_.authenticator->Authenticate(bearer, trace, absl::Now() + kLookUpTime);
        if (absl::IsUnauthenticated(answer.status())) {
          rates_->unknown_keys_around.TryAcquire(networks.wide);
          rates_->unknown_keys.TryAcquire(networks.narrow);
        }
        answer_all(answer);
      },
      [answer_all] { answer_all(ShuttingDown()); });
  if (taken == base::BoundedExecutor::Taken::kYes) return;
  answer_all(taken == base::BoundedExecutor::Taken::kStopped ? ShuttingDown() : Overloaded());
}

void CallRunner::Admit(const Method& method, size_t cost, const std::string& bearer, const MeshCallers::Shown& shown,
                       const std::shared_ptr<CallContext>& call, bool stream, Admitted admitted) {
  auto go_on = [this, method, cost, call, stream,
                admitted = std::move(admitted)](const absl::StatusOr<Caller>& caller) {
    if (!caller.ok()) return admitted(caller.status());
    call->caller = *caller;
    absl::Status status = CheckScope(method, call->caller);
    if (status.ok()) status = AcquireRates(method, cost, *call, stream);
    admitted(status);
  };
  if (method.access == Access::kMesh) {
    absl::StatusOr<std::string> service = mesh_callers_.Admit(shown, method.name);
    if (!service.ok()) return go_on(service.status());
    call->service = *std::move(service);
  }
  const std::optional<absl::StatusOr<Caller>> known = FindCaller(method, bearer);
  if (known) return go_on(*known);
  AuthenticateKey(bearer, *call, std::move(go_on));
}

absl::Status CallRunner::AcquireRates(const Method& method, size_t cost, const CallContext& call, bool stream) {
  if (method.access != Access::kRead && method.access != Access::kWrite) return absl::OkStatus();
  if (call.caller.is_administrator) return absl::OkStatus();
  // By the user, not by the key: a user has as many keys as they want.
  const std::string& who = call.caller.user_id;
  const CallSettings& limits = options_.calls;
  if (stream) {
    const auto wait = rates_->stream_openings.TryAcquire(who);
    return wait ? RateLimited(*wait, limits.stream_openings_per_user_per_min, "streams opened", "a minute")
                : absl::OkStatus();
  }
  if (method.access == Access::kRead) {
    const auto wait = rates_->reads.TryAcquire(who);
    return wait ? RateLimited(*wait, limits.reads_per_user_per_s, "reads", "a second") : absl::OkStatus();
  }
  if (const auto wait = rates_->writes.TryAcquire(who))
    return RateLimited(*wait, limits.writes_per_user_per_s, "writes", "a second");
  if (method.creates) {
    if (const auto wait = rates_->creations.TryAcquire(who, static_cast<double>(cost))) {
      return RateLimited(*wait, limits.creations_per_user_per_h, "creations", "an hour");
    }
  }
  return absl::OkStatus();
}

void CallRunner::Submit(const Method& method, const CallContext& call, std::function<void()> run,
                        std::function<void()> drop, const std::function<void(const absl::Status&)>& refuse) {
  base::BoundedExecutor& executor = method.work == Work::kOthers && waiting_executor_ ? *waiting_executor_ : executor_;
  switch (executor.TrySubmit(TurnOf(method, call), std::move(run), std::move(drop))) {
    case base::BoundedExecutor::Taken::kYes:
      return;
    case base::BoundedExecutor::Taken::kQueueFull:
      return refuse(Overloaded());
    case base::BoundedExecutor::Taken::kShareFull:
      return refuse(TooManyCalls(options_.calls.calls_per_user_max));
    case base::BoundedExecutor::Taken::kStopped:
      return refuse(ShuttingDown());
  }
}

void CallRunner::Run(::grpc::CallbackServerContext* context, const Method& method, size_t cost,
                     std::function<absl::Status(const CallContext&)> work, std::function<void(::grpc::Status)> finish) {
  const absl::Time begun = absl::Now();
  auto call = std::make_shared<CallContext>();
  call->trace = trace::Continue(FindMetadata(*context, trace::kTraceparent));
  call->deadline = std::min(absl::FromChrono(context->deadline()), begun + options_.call_time_max);
  call->peer = AddressOf(*context);
  const auto end = [this, call, method, begun, finish = std::move(finish)](const absl::Status& status) {
    ::grpc::Status sent = ToGrpc(status);
    Record(options_.name, method, *call, status, sent, begun);
    finish(std::move(sent));
  };
  auto run = [context, call, end, work = std::move(work)] {
    // Nobody waits for the answer any more: the work would only stand in others' way.
    if (context->IsCancelled()) return end(absl::CancelledError("the client has gone"));
    if (absl::Now() >= call->deadline) {
      return end(
          base::DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline passed before the call began; nothing was done"));
    }
    end(work(*call));
  };
  Admit(method, cost, BearerKey(FindMetadata(*context, "authorization")), ShownBy(*context, method), call, false,
        [this, method, call, end, run = std::move(run)](const absl::Status& admitted) {
          if (!admitted.ok()) return end(admitted);
          Submit(method, *call, run, [end] { end(ShuttingDown()); }, end);
        });
}

void CallRunner::RunStream(::grpc::CallbackServerContext* context, const Method& method,
                           std::shared_ptr<internal::OpenStream> stream,
                           std::function<absl::Status(const CallContext&)> open) {
  auto entry = std::make_shared<Entry>();
  entry->stream = std::move(stream);
  entry->method = method;
  entry->begun = absl::Now();
  entry->bearer = BearerKey(FindMetadata(*context, "authorization"));
  auto call = std::make_shared<CallContext>();
  call->trace = trace::Continue(FindMetadata(*context, trace::kTraceparent));
  call->deadline =
      entry->begun + options_.call_time_max;  // Of the opening; a stream lives as long as its client wants.
  call->peer = AddressOf(*context);
  entry->call = *call;
  {
    base::MutexLock lock(mutex_);
    if (ending_) {
      lock.Unlock();
      const absl::Status refusal = ShuttingDown();
      Record(options_.name, method, entry->call, refusal, ToGrpc(refusal), entry->begun);
      return entry->stream->Finish(refusal);
    }
    streams_[entry->stream.get()] = entry;
  }
  metrics::GetGauge("stockalert_rpc_open_streams", "Server streams that are open",
                    {{"port", options_.name}, {"method", method.name}})
      .Increment();
  auto run = [this, entry, open = std::move(open)] {
    StreamSlots::Acquisition slot;
    std::shared_ptr<Entry> ended;
    {
      base::MutexLock lock(mutex_);
      // Over already: the client has gone. `open` must not subscribe what nobody would end.
      if (!streams_.contains(entry->stream.get())) return;
      slot = slots_.TryAcquire(entry->stream.get(), entry->call.caller.user_id, NetworksOf(entry->call.peer));
      if (slot.ended != nullptr) ended = streams_.at(static_cast<internal::OpenStream*>(const_cast<void*>(slot.ended)));
    }
    if (slot.answer == StreamSlots::Answer::kUserFull) {
      return entry->stream->Finish(base::ResourceExhausted(
          "TOO_MANY_STREAMS", "this user has too many open streams: end one before opening another", std::nullopt,
          {{"limit", std::to_string(options_.streams_per_user_max)}}));
    }
    if (slot.answer == StreamSlots::Answer::kFull) return entry->stream->Finish(NoStreamLeft());
    if (ended) {
      StreamsGivenUp(options_.name).Increment();
      ended->stream->Finish(StreamGivenUp());
    }
    const absl::Status status = open(entry->call);
    if (!status.ok()) return entry->stream->Finish(status);
    base::MutexLock lock(mutex_);
    entry->opened = true;
  };
  Admit(method, 1, entry->bearer, ShownBy(*context, method), call, true,
        [this, entry, call, run = std::move(run)](const absl::Status& admitted) {
          if (!admitted.ok()) return entry->stream->Finish(admitted);
          {
            base::MutexLock lock(mutex_);
            entry->call = *call;
          }
          Submit(
              entry->method, *call, run, [entry] { entry->stream->Finish(ShuttingDown()); },
              [entry](const absl::Status& refusal) { entry->stream->Finish(refusal); });
        });
}

void CallRunner::RemoveStream(internal::OpenStream* stream, const absl::Status& status) {
  std::shared_ptr<Entry> entry;
  CallContext call;
  {
    base::MutexLock lock(mutex_);
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return;
    entry = found->second;
    call = entry->call;
    streams_.erase(found);
    slots_.Release(stream);
  }
  metrics::GetGauge("stockalert_rpc_open_streams", "Server streams that are open",
                    {{"port", options_.name}, {"method", entry->method.name}})
      .Decrement();
  Record(options_.name, entry->method, call, status, ToGrpc(status), entry->begun);
}

bool CallRunner::TrySubmit(const std::string& user_id, std::function<void()> run, std::function<void()> drop) {
  return executor_.TrySubmit(user_id, std::move(run), std::move(drop)) == base::BoundedExecutor::Taken::kYes;
}

void CallRunner::EndStreams() {
  std::vector<std::shared_ptr<Entry>> open;
  {
    base::MutexLock lock(mutex_);
    ending_ = true;
    for (const auto& [stream, entry] : streams_) open.push_back(entry);
  }
  stopped_.NotifyAll();
  for (const std::shared_ptr<Entry>& entry : open) entry->stream->Finish(ShuttingDown());
}

bool CallRunner::Stop(absl::Time deadline) {
  EndStreams();
  // Look-ups make calls, so that they go first.
  const bool looked_up = look_ups_ == nullptr || look_ups_->Stop(deadline);
  const bool waited = waiting_executor_ == nullptr || waiting_executor_->Stop(deadline);
  return executor_.Stop(deadline) && waited && looked_up;
}

// Revoked and expired keys end their streams too. Where the key cannot be checked (the user service is down), the
// stream goes on: it was rightly opened, and breaking all streams would add to the trouble.
void CallRunner::CheckStreams() {
  for (;;) {
    checks_streams_.Beat();
    std::vector<std::shared_ptr<Entry>> open;
    {
      base::MutexLock lock(mutex_);
      stopped_.WaitFor(lock, options_.stream_check_interval,
                       [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ending_; });
      if (ending_) return checks_streams_.End();
      for (const auto& [stream, entry] : streams_) open.push_back(entry);
    }
    for (const std::shared_ptr<Entry>& entry : open) {
      entry->stream->KeepAlive(options_.stream_heartbeat_interval, options_.stream_end_patience);
    }
    for (const std::shared_ptr<Entry>& entry : open) {
      if (options_.authenticator == nullptr) break;
      checks_streams_.Beat();
      {
        base::MutexLock lock(mutex_);
        if (!entry->opened || entry->call.caller.key_id.empty()) continue;
      }
      const absl::StatusOr<Caller> caller =
          options_.authenticator->Authenticate(entry->bearer, entry->call.trace, absl::Now() + absl::Seconds(1));
      if (caller.status().code() == absl::StatusCode::kUnauthenticated) entry->stream->Finish(caller.status());
      // Nobody can tell now: the others are asked in the next round, after the next heartbeats.
      if (!caller.ok() && caller.status().code() != absl::StatusCode::kUnauthenticated) break;
      base::MutexLock lock(mutex_);
      if (ending_) return checks_streams_.End();
    }
  }
}

}  // namespace stockalert::rpc
