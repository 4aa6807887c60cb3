// gRPC's server reflection: tells grpcurl and other tools the messages and services, from the linked descriptors, so
// that they need no files.
//
// Replaces gRPC 1.51's own, which needs a thread for each stream: 10,000 streams, which anybody may open, made 6,259
// threads. This one needs no threads, has at most kStreamsMax streams, and ends the oldest of them to make room for
// another. Thread-safe.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "services/common/base/mutex.h"

namespace stockalert::rpc {

class Reflection final : public ::grpc::reflection::v1alpha::ServerReflection::CallbackService {
 public:
  static constexpr size_t kStreamsMax = 64;
  // Only a stream older than this is ended to make room; otherwise the new one is refused.
  static constexpr absl::Duration kStreamLifeMin = absl::Seconds(5);
  static constexpr int kRequestsMax = 1000;

  // `services` are listed, whole names.
  explicit Reflection(std::vector<std::string> services);
  ~Reflection() override;

  ::grpc::ServerBidiReactor<::grpc::reflection::v1alpha::ServerReflectionRequest,
                            ::grpc::reflection::v1alpha::ServerReflectionResponse>*
  ServerReflectionInfo(::grpc::CallbackServerContext* context) override;

  size_t streams() const;

 private:
  class Stream;
  struct Open {
    ::grpc::CallbackServerContext* context;
    absl::Duration since;  // By the monotonic clock.
    bool ending = false;
  };
  void Remove(std::list<Open>::iterator open);

  const std::vector<std::string> services_;
  mutable base::Mutex mutex_;
  std::list<Open> open_ ABSL_GUARDED_BY(mutex_);  // The oldest first.
};

}  // namespace stockalert::rpc
