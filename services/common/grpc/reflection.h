// gRPC's server reflection, so that grpcurl and others can call without files: what messages and services there are,
// from the descriptors that are linked in.
//
// In place of the one that gRPC 1.51 comes with, which takes a thread for each stream: 10,000 of them, which anybody
// may open, made 6,259 threads. This one takes none, has at most kStreamsMax streams, and ends the longest of them
// where another is wanted. Thread-safe.
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
  // A stream that is older makes room for another; younger ones keep theirs, and the other is refused.
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
