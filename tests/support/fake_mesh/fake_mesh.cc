#include "tests/support/fake_mesh/fake_mesh.h"

#include <stdexcept>
#include <utility>

#include "absl/time/clock.h"

namespace stockalert::testing {

namespace ipb = ::stockalert::internal::v1;

namespace {

bool HasMeshToken(const ::grpc::ServerContext& context) {
  const auto token = context.client_metadata().find("x-stockalert-mesh-token");
  return token != context.client_metadata().end() && token->second == kFakeMeshToken;
}

const ::grpc::Status kNoToken(::grpc::StatusCode::UNAUTHENTICATED, "no mesh token");

}  // namespace

struct FakeMesh::Users final : ipb::UserInternalService::Service {
  explicit Users(FakeMesh& owner) : mesh(owner) {}
  ::grpc::Status AuthenticateApiKey(::grpc::ServerContext* context, const ipb::AuthenticateApiKeyRequest* request,
                                    ipb::AuthenticateApiKeyResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::lock_guard lock(mesh.mutex_);
    const auto caller = mesh.callers_.find(request->api_key());
    if (caller == mesh.callers_.end()) return {::grpc::StatusCode::UNAUTHENTICATED, "no such key"};
    response->set_user_id(caller->second.user_id);
    response->set_key_id(caller->second.key_id);
    response->set_is_administrator(caller->second.is_administrator);
    response->set_read_only(caller->second.read_only);
    return ::grpc::Status::OK;
  }
  ::grpc::Status GetUser(::grpc::ServerContext* context, const ipb::GetUserRequest* request,
                         ipb::GetUserResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::lock_guard lock(mesh.mutex_);
    const auto user = mesh.users_.find(request->user_id());
    if (user == mesh.users_.end()) return {::grpc::StatusCode::NOT_FOUND, "no such user"};
    *response = user->second;
    return ::grpc::Status::OK;
  }
  ::grpc::Status CountFollowers(::grpc::ServerContext* context, const ipb::CountFollowersRequest*,
                                ipb::CountFollowersResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::lock_guard lock(mesh.mutex_);
    response->set_follower_count(mesh.followers_);
    return ::grpc::Status::OK;
  }
  FakeMesh& mesh;
};

struct FakeMesh::Alerts final : ipb::AlertInternalService::Service {
  explicit Alerts(FakeMesh& owner) : mesh(owner) {}
  ::grpc::Status CountAlerts(::grpc::ServerContext* context, const ipb::CountAlertsRequest*,
                             ipb::CountAlertsResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::lock_guard lock(mesh.mutex_);
    response->set_alert_count(mesh.alerts_);
    return ::grpc::Status::OK;
  }
  FakeMesh& mesh;
};

struct FakeMesh::Fetchers final : ipb::FetcherService::Service {
  explicit Fetchers(FakeMesh& owner) : mesh(owner) {}
  ::grpc::Status LookupSymbol(::grpc::ServerContext* context, const ipb::LookupSymbolRequest* request,
                              ipb::LookupSymbolResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::unique_lock lock(mesh.mutex_);
    mesh.lookups_.push_back(request->symbol());
    if (const auto lookup = mesh.lookup_) {
      lock.unlock();
      lookup(request->symbol());
      lock.lock();
    }
    const auto known = mesh.knowledge_.find(request->symbol());
    response->set_knowledge(known == mesh.knowledge_.end() ? ipb::LookupSymbolResponse::KNOWLEDGE_CANNOT_TELL
                                                           : known->second);
    return ::grpc::Status::OK;
  }
  ::grpc::Status FetchQuotes(::grpc::ServerContext* context, const ipb::FetchQuotesRequest* request,
                             ipb::FetchQuotesResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::lock_guard lock(mesh.mutex_);
    for (const std::string& symbol : request->symbols()) {
      const auto quote = mesh.quotes_.find(symbol);
      if (quote != mesh.quotes_.end()) *response->add_quotes() = quote->second;
    }
    return ::grpc::Status::OK;
  }
  ::grpc::Status PublishQuotes(::grpc::ServerContext* context, const ipb::PublishQuotesRequest* request,
                               ipb::PublishQuotesResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::function<void(const ipb::QuoteRecord&)> publish;
    {
      std::lock_guard lock(mesh.mutex_);
      publish = mesh.publish_;
    }
    for (const ipb::QuoteRecord& quote : request->quotes()) {
      if (publish) publish(quote);
    }
    response->set_published_count(request->quotes_size());
    return ::grpc::Status::OK;
  }
  ::grpc::Status PublishSplit(::grpc::ServerContext* context, const ipb::PublishSplitRequest* request,
                              ipb::PublishSplitResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::function<::grpc::Status(const ipb::SplitRecord&, ipb::LogPlace*)> publish;
    {
      std::lock_guard lock(mesh.mutex_);
      publish = mesh.publish_split_;
    }
    if (!publish) return {::grpc::StatusCode::UNIMPLEMENTED, ""};
    return publish(request->split(), response->mutable_place());
  }
  ::grpc::Status PublishHold(::grpc::ServerContext* context, const ipb::PublishHoldRequest* request,
                             ipb::PublishHoldResponse* response) override {
    if (!HasMeshToken(*context)) return kNoToken;
    std::function<::grpc::Status(const ipb::PublishHoldRequest&, ipb::LogPlace*)> publish;
    {
      std::lock_guard lock(mesh.mutex_);
      publish = mesh.publish_hold_;
    }
    if (!publish) return {::grpc::StatusCode::UNIMPLEMENTED, ""};
    return publish(*request, response->mutable_place());
  }
  FakeMesh& mesh;
};

FakeMesh::FakeMesh() {
  services_.push_back(std::make_unique<Users>(*this));
  services_.push_back(std::make_unique<Alerts>(*this));
  services_.push_back(std::make_unique<Fetchers>(*this));
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start({.address = "127.0.0.1:0",
                          .credentials = ::grpc::InsecureServerCredentials(),
                          .services = {services_[0].get(), services_[1].get(), services_[2].get()},
                          .service_names = {}});
  if (!server.ok()) throw std::runtime_error(server.status().ToString());
  server_ = *std::move(server);
}

FakeMesh::~FakeMesh() { Stop(); }

std::string FakeMesh::address() const { return "127.0.0.1:" + std::to_string(server_->port()); }

void FakeMesh::Stop() {
  if (server_) server_->Shutdown(absl::Now() + absl::Seconds(1));
}

void FakeMesh::SetCaller(const std::string& api_key, const rpc::Caller& caller) {
  std::lock_guard lock(mutex_);
  callers_[api_key] = caller;
}

void FakeMesh::SetAddress(const std::string& user_id, const std::string& email, bool verified) {
  std::lock_guard lock(mutex_);
  ipb::GetUserResponse& user = users_[user_id];
  user.set_user_id(user_id);
  user.set_email(email);
  user.set_email_verified(verified);
}

void FakeMesh::SetFollowers(int64_t count) {
  std::lock_guard lock(mutex_);
  followers_ = count;
}

void FakeMesh::SetAlerts(int64_t count) {
  std::lock_guard lock(mutex_);
  alerts_ = count;
}

void FakeMesh::SetKnowledge(const std::string& symbol, ipb::LookupSymbolResponse::Knowledge knowledge) {
  std::lock_guard lock(mutex_);
  knowledge_[symbol] = knowledge;
}

void FakeMesh::OnLookup(std::function<void(const std::string&)> lookup) {
  std::lock_guard lock(mutex_);
  lookup_ = std::move(lookup);
}

void FakeMesh::SetQuote(const ipb::QuoteRecord& quote) {
  std::lock_guard lock(mutex_);
  quotes_[quote.symbol()] = quote;
}

void FakeMesh::OnSplit(std::function<::grpc::Status(const ipb::SplitRecord&, ipb::LogPlace*)> publish) {
  std::lock_guard lock(mutex_);
  publish_split_ = std::move(publish);
}

void FakeMesh::OnHold(std::function<::grpc::Status(const ipb::PublishHoldRequest&, ipb::LogPlace*)> publish) {
  std::lock_guard lock(mutex_);
  publish_hold_ = std::move(publish);
}

void FakeMesh::OnPublish(std::function<void(const ipb::QuoteRecord&)> publish) {
  std::lock_guard lock(mutex_);
  publish_ = std::move(publish);
}

std::vector<std::string> FakeMesh::lookups() const {
  std::lock_guard lock(mutex_);
  return lookups_;
}

}  // namespace stockalert::testing
