// The internal ports of the user service, the alert service and the fetcher, as a service under test sees them: on one
// real port, with answers that the test sets. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "services/common/grpc/caller.h"
#include "services/common/grpc/server.h"
#include "stockalert/internal/v1/alert_internal.grpc.pb.h"
#include "stockalert/internal/v1/fetcher.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::testing {

inline constexpr char kFakeMeshToken[] = "the mesh token of tests";

class FakeMesh {
 public:
  FakeMesh();
  ~FakeMesh();
  FakeMesh(const FakeMesh&) = delete;
  FakeMesh& operator=(const FakeMesh&) = delete;

  // "127.0.0.1:PORT", for user_address, alert_address and fetcher_address.
  std::string address() const;
  // Answers nothing any more.
  void Stop();

  void SetCaller(const std::string& api_key, const rpc::Caller& caller);
  // What the user service tells of a user's address. Others: NOT_FOUND.
  void SetAddress(const std::string& user_id, const std::string& email, bool verified);
  void SetFollowers(int64_t count);
  void SetAlerts(int64_t count);
  // Of symbols that it was not told about: CANNOT_TELL.
  void SetKnowledge(const std::string& symbol, internal::v1::LookupSymbolResponse::Knowledge knowledge);
  // What a look-up does before it is answered, on a thread of its own.
  void OnLookup(std::function<void(const std::string& symbol)> lookup);
  void SetQuote(const internal::v1::QuoteRecord& quote);
  // What PublishQuotes does with its quotes, besides counting them.
  void OnPublish(std::function<void(const internal::v1::QuoteRecord&)> publish);
  // What PublishSplit does with its split, and answers. Until it is set: UNIMPLEMENTED.
  void OnSplit(std::function<::grpc::Status(const internal::v1::SplitRecord&, internal::v1::LogPlace*)> publish);
  // Likewise of PublishHold.
  void OnHold(std::function<::grpc::Status(const internal::v1::PublishHoldRequest&, internal::v1::LogPlace*)> publish);
  std::vector<std::string> lookups() const;

 private:
  struct Users;
  struct Alerts;
  struct Fetchers;

  mutable std::mutex mutex_;
  std::map<std::string, rpc::Caller> callers_;  // Guarded by mutex_, as what follows.
  std::map<std::string, internal::v1::GetUserResponse> users_;
  int64_t followers_ = 0;
  int64_t alerts_ = 0;
  std::map<std::string, internal::v1::LookupSymbolResponse::Knowledge> knowledge_;
  std::map<std::string, internal::v1::QuoteRecord> quotes_;
  std::function<void(const internal::v1::QuoteRecord&)> publish_;
  std::function<::grpc::Status(const internal::v1::SplitRecord&, internal::v1::LogPlace*)> publish_split_;
  std::function<::grpc::Status(const internal::v1::PublishHoldRequest&, internal::v1::LogPlace*)> publish_hold_;
  std::function<void(const std::string&)> lookup_;
  std::vector<std::string> lookups_;
  std::vector<std::unique_ptr<::grpc::Service>> services_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace stockalert::testing
