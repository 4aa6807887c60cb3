// What is made of the answers of the fetcher, the user and the alert service, over a real server.
#include "services/ticker/grpc_peers.h"

#include <grpcpp/grpcpp.h>

#include <catch2/catch.hpp>
#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "absl/time/clock.h"
#include "services/common/base/error.h"
#include "services/common/grpc/server.h"
#include "services/common/grpc/status_convert.h"
#include "stockalert/internal/v1/alert_internal.grpc.pb.h"
#include "stockalert/internal/v1/fetcher.grpc.pb.h"
#include "stockalert/internal/v1/user_internal.grpc.pb.h"

namespace stockalert::ticker {
namespace {

namespace ipb = ::stockalert::internal::v1;

// Answers as it is told; `failure`, where it is not OK, to every call.
struct Answers {
  absl::Status failure;
  ipb::LookupSymbolResponse lookup;
  ipb::FetchQuotesResponse quotes;
  bool says_places = false;
  std::function<void()> before_quotes;
  std::string user_id;  // Of the last request that had one.
  std::string symbol;   // Likewise.
};

class Fetchers final : public ipb::FetcherService::Service {
 public:
  explicit Fetchers(Answers& answers) : answers_(answers) {}
  ::grpc::Status LookupSymbol(::grpc::ServerContext*, const ipb::LookupSymbolRequest* request,
                              ipb::LookupSymbolResponse* response) override {
    answers_.user_id = request->user_id();
    answers_.symbol = request->symbol();
    *response = answers_.lookup;
    return rpc::ToGrpc(answers_.failure);
  }
  ::grpc::Status FetchQuotes(::grpc::ServerContext*, const ipb::FetchQuotesRequest* request,
                             ipb::FetchQuotesResponse* response) override {
    answers_.user_id = request->user_id();
    answers_.symbol = request->symbols(0);
    *response = answers_.quotes;
    if (answers_.before_quotes) answers_.before_quotes();
    return rpc::ToGrpc(answers_.failure);
  }
  ::grpc::Status PublishQuotes(::grpc::ServerContext*, const ipb::PublishQuotesRequest* request,
                               ipb::PublishQuotesResponse* response) override {
    response->set_published_count(request->quotes_size());
    for (int i = 0; answers_.says_places && i < request->quotes_size(); ++i) {
      ipb::LogPlace& place = *response->add_places();
      place.set_partition(3);
      place.set_offset(70 + i);
    }
    return rpc::ToGrpc(answers_.failure);
  }
  ::grpc::Status PublishSplit(::grpc::ServerContext*, const ipb::PublishSplitRequest* request,
                              ipb::PublishSplitResponse* response) override {
    CHECK(request->split().symbol() == "AAPL");
    CHECK(request->split().split_id() == "s1");
    CHECK(request->split().number() == 2);
    CHECK(request->split().numerator() == 4);
    CHECK(request->split().denominator() == 1);
    CHECK(request->split().effective_time_us() == 7);
    response->mutable_place()->set_partition(3);
    response->mutable_place()->set_offset(70);
    return rpc::ToGrpc(answers_.failure);
  }
  ::grpc::Status PublishHold(::grpc::ServerContext*, const ipb::PublishHoldRequest* request,
                             ipb::PublishHoldResponse* response) override {
    CHECK(request->symbol() == "AAPL");
    response->mutable_place()->set_partition(request->kind());
    response->mutable_place()->set_offset(71);
    return rpc::ToGrpc(answers_.failure);
  }

 private:
  Answers& answers_;
};

class Users final : public ipb::UserInternalService::Service {
 public:
  explicit Users(Answers& answers) : answers_(answers) {}
  ::grpc::Status CountFollowers(::grpc::ServerContext*, const ipb::CountFollowersRequest* request,
                                ipb::CountFollowersResponse* response) override {
    answers_.symbol = request->symbol();
    response->set_follower_count(3);
    return rpc::ToGrpc(answers_.failure);
  }

 private:
  Answers& answers_;
};

class Alerts final : public ipb::AlertInternalService::Service {
 public:
  explicit Alerts(Answers& answers) : answers_(answers) {}
  ::grpc::Status CountAlerts(::grpc::ServerContext*, const ipb::CountAlertsRequest* request,
                             ipb::CountAlertsResponse* response) override {
    answers_.symbol = request->symbol();
    response->set_alert_count(5);
    return rpc::ToGrpc(answers_.failure);
  }

 private:
  Answers& answers_;
};

struct Fixture {
  Fixture() {
    auto started = rpc::Server::Start({.address = "127.0.0.1:0",
                                       .credentials = ::grpc::InsecureServerCredentials(),
                                       .services = {&fetchers, &users, &alerts},
                                       .service_names = {}});
    REQUIRE(started.ok());
    server = *std::move(started);
    peer = std::make_unique<rpc::Peer>(server->InProcessChannel(), "token");
    fetcher = std::make_unique<GrpcFetcher>(*peer);
    use = std::make_unique<GrpcTickerUse>(*peer, *peer);
  }
  ~Fixture() { server->Shutdown(absl::Now() + absl::Seconds(5)); }
  static absl::Time Soon() { return absl::Now() + absl::Seconds(20); }
  absl::StatusOr<LookedUp> Lookup() { return fetcher->Lookup("AAPL", "u", trace::NewRoot(), Soon()); }
  absl::StatusOr<std::vector<LogPlace>> Publish() {
    return fetcher->Publish(std::vector<ipb::QuoteRecord>(2), trace::NewRoot(), Soon());
  }
  absl::StatusOr<FetchedQuotes> Fetch() {
    std::promise<absl::StatusOr<FetchedQuotes>> fetched;
    fetcher->FetchAsync({"AAPL"}, "u", trace::NewRoot(), Soon(),
                        [&](absl::StatusOr<FetchedQuotes> result) { fetched.set_value(std::move(result)); });
    return fetched.get_future().get();
  }

  Answers answers;
  Fetchers fetchers{answers};
  Users users{answers};
  Alerts alerts{answers};
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<rpc::Peer> peer;
  std::unique_ptr<GrpcFetcher> fetcher;
  std::unique_ptr<GrpcTickerUse> use;
};

TEST_CASE("what the fetcher knows of a symbol is taken over; what is not understood is no permission") {
  Fixture f;
  f.answers.lookup.set_retry_after_ms(7000);
  const std::pair<ipb::LookupSymbolResponse::Knowledge, Knowledge> cases[] = {
      {ipb::LookupSymbolResponse::KNOWLEDGE_KNOWN, Knowledge::kKnown},
      {ipb::LookupSymbolResponse::KNOWLEDGE_UNKNOWN, Knowledge::kUnknown},
      {ipb::LookupSymbolResponse::KNOWLEDGE_CANNOT_TELL, Knowledge::kNoList},
      {ipb::LookupSymbolResponse::KNOWLEDGE_NOT_IN_PLAN, Knowledge::kNotInPlan},
      {ipb::LookupSymbolResponse::KNOWLEDGE_ASK_LATER, Knowledge::kAskLater},
      {static_cast<ipb::LookupSymbolResponse::Knowledge>(99), Knowledge::kAskLater}};
  for (const auto& [said, known] : cases) {
    f.answers.lookup.set_knowledge(said);
    const auto found = f.Lookup();
    REQUIRE(found.ok());
    CHECK(found->knowledge == known);
    CHECK(found->retry_after == (known == Knowledge::kAskLater ? absl::Seconds(7) : absl::ZeroDuration()));
  }
  CHECK(f.answers.symbol == "AAPL");
  CHECK(f.answers.user_id == "u");
  f.answers.failure = base::InvalidField("symbol", "is none");
  CHECK(f.Lookup().status().code() == absl::StatusCode::kInvalidArgument);
  f.answers.failure = absl::InternalError("broken");
  CHECK(base::ReasonOf(f.Lookup().status()) == kReasonFetcherUnavailable);
}

TEST_CASE("prices are returned with the problems of the others, and failures of source and fetcher are told apart") {
  Fixture f;
  f.answers.quotes.add_quotes()->set_symbol("AAPL");
  ipb::SymbolProblem& paid = *f.answers.quotes.add_problems();
  paid.set_symbol("PAID");
  paid.set_kind(ipb::SymbolProblem::KIND_NOT_IN_PLAN);
  paid.set_retry_after_ms(-1);
  ipb::SymbolProblem& silent = *f.answers.quotes.add_problems();
  silent.set_symbol("SLOW");
  silent.set_kind(ipb::SymbolProblem::KIND_NO_ANSWER);
  silent.set_retry_after_ms(9000);
  const auto fetched = f.Fetch();
  REQUIRE(fetched.ok());
  REQUIRE(fetched->quotes.size() == 1);
  CHECK(fetched->quotes[0].symbol() == "AAPL");
  REQUIRE(fetched->problems.size() == 2);
  CHECK(fetched->problems[0].symbol == "PAID");
  CHECK(fetched->problems[0].not_in_plan);
  CHECK(fetched->problems[0].retry_after == absl::ZeroDuration());
  CHECK_FALSE(fetched->problems[1].not_in_plan);
  CHECK(fetched->problems[1].retry_after == absl::Seconds(9));
  CHECK(f.answers.symbol == "AAPL");
  CHECK(f.answers.user_id == "u");
  f.answers.failure = base::Unavailable(kReasonSourceUnavailable, "the source does not answer");
  CHECK(base::ReasonOf(f.Fetch().status()) == kReasonSourceUnavailable);
  f.answers.failure = absl::UnavailableError("down");
  CHECK(base::ReasonOf(f.Fetch().status()) == kReasonFetcherUnavailable);
}

TEST_CASE("a fetcher's end waits for the calls that are under way") {
  Fixture f;
  std::promise<void> begun;
  std::promise<void> release;
  f.answers.before_quotes = [&] {
    begun.set_value();
    release.get_future().wait();
  };
  bool ended = false;
  f.fetcher->FetchAsync({"AAPL"}, "u", trace::NewRoot(), Fixture::Soon(),
                        [&](const absl::StatusOr<FetchedQuotes>&) { ended = true; });
  begun.get_future().wait();
  std::thread releaser([&] { release.set_value(); });
  f.fetcher.reset();
  CHECK(ended);
  releaser.join();
}

TEST_CASE("a publication that failed may have been done in part, unless the fetcher has refused it") {
  Fixture f;
  CHECK(f.Publish()->empty());
  f.answers.says_places = true;
  const auto places = f.Publish();
  REQUIRE(places->size() == 2);
  CHECK(places->at(1).partition == 3);
  CHECK(places->at(1).offset == 71);
  f.answers.failure = base::InvalidField("quotes", "are bad");
  CHECK(f.Publish().status().code() == absl::StatusCode::kInvalidArgument);
  f.answers.failure = absl::UnavailableError("down");
  const absl::Status failed = f.Publish().status();
  CHECK(base::ReasonOf(failed) == kReasonFetcherUnavailable);
  CHECK(std::string(failed.message()).find("some may be in the log") != std::string::npos);
}

TEST_CASE("a split is published with its place, kept where the fetcher is away, and not where it refuses") {
  Fixture f;
  const auto publish = [&] {
    return f.fetcher->PublishSplit({"AAPL", "s1", 2, {4, 1}, 7}, trace::NewRoot(), Fixture::Soon());
  };
  REQUIRE(publish().ok());
  CHECK(publish()->partition == 3);
  CHECK(publish()->offset == 70);
  f.answers.failure = base::FailedPrecondition("LOG_FORMAT_TOO_OLD", "raise it");
  CHECK(base::ReasonOf(publish().status()) == "LOG_FORMAT_TOO_OLD");
  for (const absl::Status& failure : {absl::UnavailableError("down"), absl::UnimplementedError("an old one")}) {
    f.answers.failure = failure;
    CHECK(base::ReasonOf(publish().status()) == kReasonFetcherUnavailable);
  }
}

TEST_CASE("a hold and its dismissal are published with their place; what fails may be in the log, unless refused") {
  Fixture f;
  const auto publish = [&](HoldPublisher::Kind kind) {
    return f.fetcher->PublishHold("AAPL", kind, trace::NewRoot(), Fixture::Soon());
  };
  const auto place = publish(HoldPublisher::Kind::kSuspected);
  REQUIRE(place.ok());
  CHECK(place->partition == ipb::PublishHoldRequest::KIND_SUSPECTED);
  CHECK(place->offset == 71);
  CHECK(publish(HoldPublisher::Kind::kDismissed)->partition == ipb::PublishHoldRequest::KIND_DISMISSED);
  f.answers.failure = base::FailedPrecondition("LOG_FORMAT_TOO_OLD", "raise it");
  CHECK(base::ReasonOf(publish(HoldPublisher::Kind::kSuspected).status()) == "LOG_FORMAT_TOO_OLD");
  for (const absl::Status& failure : {absl::UnavailableError("down"), absl::UnimplementedError("an old one")}) {
    f.answers.failure = failure;
    CHECK(base::ReasonOf(publish(HoldPublisher::Kind::kDismissed).status()) == kReasonFetcherUnavailable);
  }
}

TEST_CASE("users and alerts of a ticker are counted, and a service that does not answer is named") {
  Fixture f;
  const auto followers = [&] { return f.use->CountFollowers("AAPL", trace::NewRoot(), Fixture::Soon()); };
  const auto alerts = [&] { return f.use->CountAlerts("MSFT", trace::NewRoot(), Fixture::Soon()); };
  CHECK(followers().value_or(-1) == 3);
  CHECK(f.answers.symbol == "AAPL");
  CHECK(alerts().value_or(-1) == 5);
  CHECK(f.answers.symbol == "MSFT");
  f.answers.failure = absl::UnavailableError("down");
  CHECK(base::ReasonOf(followers().status()) == "USER_SERVICE_UNAVAILABLE");
  CHECK(base::ReasonOf(alerts().status()) == "ALERT_SERVICE_UNAVAILABLE");
}

}  // namespace
}  // namespace stockalert::ticker
