#include "services/common/grpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/base/monotonic_clock.h"

namespace stockalert::rpc {
namespace {

namespace pb = ::grpc::reflection::v1alpha;
namespace proto = ::google::protobuf;

const proto::DescriptorPool& Pool() { return *proto::DescriptorPool::generated_pool(); }

// The file and all that it imports, but what this stream has been sent before.
void AddFile(const proto::FileDescriptor& file, std::set<std::string>& sent, pb::FileDescriptorResponse& response) {
  if (!sent.insert(file.name()).second) return;
  proto::FileDescriptorProto text;
  file.CopyTo(&text);
  response.add_file_descriptor_proto(text.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), sent, response);
}

void SetNotFound(const std::string& what, pb::ServerReflectionResponse& response) {
  response.mutable_error_response()->set_error_code(static_cast<int>(::grpc::StatusCode::NOT_FOUND));
  response.mutable_error_response()->set_error_message(absl::StrCat(what, " is not known here"));
}

void Answer(const pb::ServerReflectionRequest& request, const std::vector<std::string>& services,
            std::set<std::string>& sent, pb::ServerReflectionResponse& response) {
  response.Clear();
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const auto answer_file = [&](const proto::FileDescriptor* file, const std::string& what) {
    if (file == nullptr) return SetNotFound(what, response);
    AddFile(*file, sent, *response.mutable_file_descriptor_response());
  };
  switch (request.message_request_case()) {
    case pb::ServerReflectionRequest::kFileByFilename:
      return answer_file(Pool().FindFileByName(request.file_by_filename()), request.file_by_filename());
    case pb::ServerReflectionRequest::kFileContainingSymbol:
      return answer_file(Pool().FindFileContainingSymbol(request.file_containing_symbol()),
                         request.file_containing_symbol());
    case pb::ServerReflectionRequest::kFileContainingExtension: {
      const pb::ExtensionRequest& wanted = request.file_containing_extension();
      const proto::Descriptor* type = Pool().FindMessageTypeByName(wanted.containing_type());
      const proto::FieldDescriptor* extension =
          type == nullptr ? nullptr : Pool().FindExtensionByNumber(type, wanted.extension_number());
      return answer_file(extension == nullptr ? nullptr : extension->file(),
                         absl::StrCat("the extension ", wanted.extension_number(), " of ", wanted.containing_type()));
    }
    case pb::ServerReflectionRequest::kAllExtensionNumbersOfType: {
      const proto::Descriptor* type = Pool().FindMessageTypeByName(request.all_extension_numbers_of_type());
      if (type == nullptr) return SetNotFound(request.all_extension_numbers_of_type(), response);
      std::vector<const proto::FieldDescriptor*> extensions;
      Pool().FindAllExtensions(type, &extensions);
      response.mutable_all_extension_numbers_response()->set_base_type_name(type->full_name());
      for (const proto::FieldDescriptor* extension : extensions) {
        response.mutable_all_extension_numbers_response()->add_extension_number(extension->number());
      }
      return;
    }
    case pb::ServerReflectionRequest::kListServices:
      for (const std::string& name : services) response.mutable_list_services_response()->add_service()->set_name(name);
      return;
    case pb::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      break;
  }
  response.mutable_error_response()->set_error_code(static_cast<int>(::grpc::StatusCode::INVALID_ARGUMENT));
  response.mutable_error_response()->set_error_message("the request asks for nothing");
}

class Refused final : public ::grpc::ServerBidiReactor<pb::ServerReflectionRequest, pb::ServerReflectionResponse> {
 public:
  Refused() {
    Finish({::grpc::StatusCode::RESOURCE_EXHAUSTED,
            "too many streams of reflection are open: try again in a few seconds"});
  }
  void OnDone() override { delete this; }
};

}  // namespace

// Owned by gRPC: deletes itself when gRPC is done.
class Reflection::Stream final
    : public ::grpc::ServerBidiReactor<pb::ServerReflectionRequest, pb::ServerReflectionResponse> {
 public:
  Stream(Reflection& owner, std::list<Open>::iterator open) : owner_(owner), open_(open) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(::grpc::Status::OK);
    if (++requests_ > kRequestsMax)
      return Finish({::grpc::StatusCode::RESOURCE_EXHAUSTED, "too many requests for one stream"});
    Answer(request_, owner_.services_, sent_, response_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(::grpc::Status::OK);
    StartRead(&request_);
  }
  void OnDone() override {
    owner_.Remove(open_);
    delete this;
  }

 private:
  Reflection& owner_;
  const std::list<Open>::iterator open_;
  pb::ServerReflectionRequest request_;
  pb::ServerReflectionResponse response_;
  std::set<std::string> sent_;
  int requests_ = 0;
};

Reflection::Reflection(std::vector<std::string> services) : services_(std::move(services)) {}
Reflection::~Reflection() = default;

::grpc::ServerBidiReactor<pb::ServerReflectionRequest, pb::ServerReflectionResponse>* Reflection::ServerReflectionInfo(
    ::grpc::CallbackServerContext* context) {
  const absl::Duration now = base::MonotonicNow();
  std::list<Open>::iterator mine;
  {
    base::MutexLock lock(mutex_);
    if (open_.size() >= kStreamsMax) {
      // The one that has held its place for longest goes; the room is there as soon as it has ended.
      for (Open& open : open_) {
        if (now - open.since < kStreamLifeMin) break;
        if (open.ending) continue;
        open.ending = true;
        open.context->TryCancel();
        break;
      }
      return new Refused();
    }
    mine = open_.insert(open_.end(), Open{context, now});
  }
  return new Stream(*this, mine);
}

void Reflection::Remove(std::list<Open>::iterator open) {
  base::MutexLock lock(mutex_);
  open_.erase(open);
}

size_t Reflection::streams() const {
  base::MutexLock lock(mutex_);
  return open_.size();
}

}  // namespace stockalert::rpc
