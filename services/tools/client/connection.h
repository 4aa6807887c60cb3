// The calls of one run of the client: channels, key, deadlines, and how a failure is told.
//
// Not thread-safe. Calls that may be repeated are retried by gRPC's service config (at most three tries); the others
// carry a request id.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/status_convert.h"
#include "services/tools/client/settings.h"
#include "services/tools/client/terminal.h"
#include "stockalert/alert/v1/alert.grpc.pb.h"
#include "stockalert/notification/v1/destination.grpc.pb.h"
#include "stockalert/notification/v1/notification.grpc.pb.h"
#include "stockalert/ticker/v1/ticker.grpc.pb.h"
#include "stockalert/user/v1/user.grpc.pb.h"

namespace stockalert::client {

// What the process ends with, so that scripts can tell.
enum ExitCode {
  kDone = 0,
  kFailed = 1,        // Something else went wrong.
  kWrongUsage = 2,    // The command line, the settings or the input are wrong: the client itself refuses.
  kNotAllowed = 3,    // No key, a wrong one, or one that may not do this.
  kNotThere = 4,      // No such thing, or not the caller's.
  kRefused = 5,       // The request breaks a rule, or the thing is in no state for it.
  kNotReachable = 6,  // The mesh does not answer, or not in time.
};
int ExitCodeOf(const absl::Status& status);

// Which flag or argument made a field of a request; empty: none that is known.
using FlagOfField = std::function<std::string(const std::string& field)>;
// From "alert.note" to "--note"; the indices of lists count for nothing ("symbols[3]" is "symbols").
FlagOfField FlagsOfFields(std::map<std::string, std::string> flags);

// Says what went wrong and, flag by flag, what to mend; with --json as a line of JSON on stderr.
void PrintFailure(const Terminal& terminal, const absl::Status& status, const FlagOfField& flag_of = {});

// How TLS is spoken where it is. INVALID_ARGUMENT: ca_file holds no authorities.
absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> TlsOf(const ClientSettings& settings);

class MeshConnection {
 public:
  MeshConnection(const ClientSettings& settings, std::shared_ptr<::grpc::ChannelCredentials> tls,
                 absl::Duration timeout);

  user::v1::UserService::StubInterface& users();
  ticker::v1::TickerService::StubInterface& tickers();
  alert::v1::AlertService::StubInterface& alerts();
  notification::v1::NotificationService::StubInterface& notifications();
  notification::v1::DestinationService::StubInterface& destinations();

  // The service's `method`(request), with key and deadline.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(::grpc::Status (Stub::*method)(::grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    ::grpc::ClientContext context;
    Prepare(context, absl::Now() + timeout_);
    Response response;
    absl::Status status = rpc::FromGrpc((StubOf<Stub>().*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  // From here on.
  void UseKey(const std::string& api_key) { settings_.api_key = api_key; }
  // Of streams the deadline is far away.
  void Prepare(::grpc::ClientContext& context, absl::Time deadline) const;

 private:
  template <typename Stub>
  Stub& StubOf() {
    if constexpr (std::is_same_v<Stub, user::v1::UserService::StubInterface>) {
      return users();
    } else if constexpr (std::is_same_v<Stub, ticker::v1::TickerService::StubInterface>) {
      return tickers();
    } else if constexpr (std::is_same_v<Stub, alert::v1::AlertService::StubInterface>) {
      return alerts();
    } else if constexpr (std::is_same_v<Stub, notification::v1::DestinationService::StubInterface>) {
      return destinations();
    } else {
      return notifications();
    }
  }
  std::unique_ptr<rpc::Peer> Dial(const std::string& address, const std::string& service,
                                  const std::vector<std::string>& methods) const;

  ClientSettings settings_;
  const std::shared_ptr<::grpc::ChannelCredentials> tls_;
  const absl::Duration timeout_;
  // Made when first used.
  std::unique_ptr<rpc::Peer> user_peer_, ticker_peer_, alert_peer_, notifier_peer_, delivery_peer_;
  std::unique_ptr<user::v1::UserService::StubInterface> users_;
  std::unique_ptr<ticker::v1::TickerService::StubInterface> tickers_;
  std::unique_ptr<alert::v1::AlertService::StubInterface> alerts_;
  std::unique_ptr<notification::v1::NotificationService::StubInterface> notifications_;
  std::unique_ptr<notification::v1::DestinationService::StubInterface> destinations_;
};

}  // namespace stockalert::client
