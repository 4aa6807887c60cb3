// A fetcher in this process, over librdkafka's mock cluster and a ticker service in memory: what its tests share.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "services/common/grpc/channel.h"
#include "services/common/grpc/status_convert.h"
#include "services/common/kafka/consumer.h"
#include "services/common/kafka/topic_admin.h"
#include "services/domain/record/log_record.h"
#include "services/fetcher/app.h"
#include "stockalert/internal/v1/fetcher.grpc.pb.h"
#include "tests/support/eventually/eventually.h"
#include "tests/support/fake_ticker/fake_ticker.h"
#include "tests/support/finnhub/finnhub_double.h"
#include "tests/support/mock_kafka/mock_kafka.h"

namespace stockalert::fetcher {

namespace pb = ::stockalert::internal::v1;

using testing::Eventually;

struct Read {
  pb::LogRecord record;
  std::string key;
  std::string traceparent;
};

// All that the topic holds now, partition by partition.
inline std::vector<Read> ReadLog(const testing::MockKafka& kafka) {
  kafka::AssignedConsumerOptions options;
  options.bootstrap = kafka.bootstrap();
  options.client_id = "test";
  auto consumer = kafka::AssignedConsumer::Create(options);
  REQUIRE(consumer.ok());
  const auto partitions = (*consumer)->CountPartitions(kafka::kPricesTopic, absl::Seconds(10));
  REQUIRE(partitions.ok());
  REQUIRE((*consumer)->AssignAll(kafka::kPricesTopic, kafka::kBeginning, absl::Seconds(10)).ok());
  std::vector<Read> reads;
  std::set<int32_t> ended;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (ended.size() < static_cast<size_t>(*partitions) && absl::Now() < deadline) {
    const kafka::PollResult polled = (*consumer)->Poll(absl::Milliseconds(100), 10'000);
    for (const kafka::Message& message : polled.messages) {
      record::ReadRecord read = record::ReadLogRecord(message.key(), message.value());
      if (read.soundness != record::Soundness::kSound) throw std::runtime_error(read.problem);
      reads.push_back({read.record, std::string(message.key()), std::string(message.traceparent())});
    }
    for (const kafka::TopicPartition& end : polled.ends) ended.insert(end.partition);
  }
  REQUIRE(ended.size() == static_cast<size_t>(*partitions));
  return reads;
}

struct Mesh {
  testing::MockKafka kafka;
  testing::FakeTicker ticker;
  Mesh() { kafka.CreateTopic(kafka::kPricesTopic, 4); }

  Config BaseConfig() const {
    Config config;
    config.internal_address = "127.0.0.1:0";
    config.http_address = "127.0.0.1:0";
    config.kafka_bootstrap = kafka.bootstrap();
    config.ticker_address = ticker.address();
    config.mesh_token = "mesh";
    config.tls.plaintext = true;
    config.symbols_interval = absl::Milliseconds(50);
    return config;
  }
};

struct Running {
  explicit Running(const Config& config) {
    auto created = FetcherApp::Create(config);
    if (!created.ok()) throw std::runtime_error(created.status().ToString());
    app = std::move(*created);
    if (const absl::Status started = app->Start(); !started.ok()) throw std::runtime_error(started.ToString());
    const int port = static_cast<FetcherApp&>(*app).internal_port();
    peer = std::make_unique<rpc::Peer>(rpc::PeerOptions{.address = "127.0.0.1:" + std::to_string(port),
                                                        .credentials = ::grpc::InsecureChannelCredentials(),
                                                        .mesh_token = config.mesh_token});
    stub = pb::FetcherService::NewStub(peer->channel());
  }
  ~Running() { app->Stop(absl::Now() + absl::Seconds(10)); }

  template <typename Request, typename Response>
  absl::Status Call(::grpc::Status (pb::FetcherService::StubInterface::*method)(::grpc::ClientContext*, const Request&,
                                                                                Response*),
                    const Request& request, Response* response, absl::Duration timeout = absl::Seconds(10)) {
    ::grpc::ClientContext context;
    peer->Prepare(context, trace::NewRoot(), absl::Now() + timeout);
    return rpc::FromGrpc((stub.get()->*method)(&context, request, response));
  }
  absl::Status Publish(const pb::PublishQuotesRequest& request, absl::Duration timeout = absl::Seconds(10),
                       pb::PublishQuotesResponse* whole = nullptr) {
    pb::PublishQuotesResponse response;
    absl::Status called = Call(&pb::FetcherService::StubInterface::PublishQuotes, request, &response, timeout);
    if (whole != nullptr) *whole = response;
    return called;
  }
  std::vector<pb::QuoteRecord> Fetch(const std::vector<std::string>& symbols, absl::Status* status = nullptr,
                                     const std::string& user = "", pb::FetchQuotesResponse* whole = nullptr) {
    pb::FetchQuotesRequest request;
    request.mutable_symbols()->Assign(symbols.begin(), symbols.end());
    request.set_user_id(user);
    pb::FetchQuotesResponse response;
    const absl::Status called = Call(&pb::FetcherService::StubInterface::FetchQuotes, request, &response);
    if (status != nullptr) *status = called;
    if (whole != nullptr) *whole = response;
    return {response.quotes().begin(), response.quotes().end()};
  }
  pb::LookupSymbolResponse::Knowledge Lookup(const std::string& symbol, const std::string& user = "") {
    pb::LookupSymbolRequest request;
    request.set_symbol(symbol);
    request.set_user_id(user);
    pb::LookupSymbolResponse response;
    if (const absl::Status called = Call(&pb::FetcherService::StubInterface::LookupSymbol, request, &response);
        !called.ok()) {
      throw std::runtime_error(called.ToString());
    }
    return response.knowledge();
  }

  std::unique_ptr<process::App> app;
  std::unique_ptr<rpc::Peer> peer;
  std::unique_ptr<pb::FetcherService::StubInterface> stub;
};

inline pb::PublishQuotesRequest OneQuote(int64_t price_micros,
                                         int64_t event_time_us = absl::ToUnixMicros(absl::Now())) {
  pb::PublishQuotesRequest request;
  pb::QuoteRecord& quote = *request.add_quotes();
  quote.set_symbol("AAPL");
  quote.set_price_micros(price_micros);
  quote.set_event_time_us(event_time_us);
  return request;
}

inline int64_t NowSeconds() { return absl::ToUnixSeconds(absl::Now()); }

inline std::string QuoteJson(const std::string& price, int64_t time_s) {
  return R"({"c":)" + price + R"(,"d":1.2,"dp":0.4,"h":263.31,"l":1.5,"o":261.07,"pc":259.45,"t":)" +
         std::to_string(time_s) + "}";
}

inline Config FinnhubConfig(const Mesh& mesh, const testing::FinnhubDouble& finnhub) {
  Config config = mesh.BaseConfig();
  config.source = "finnhub";
  config.finnhub_api_key = "secret-key";
  config.finnhub_rest_url = finnhub.rest_url();
  config.finnhub_ws_url = finnhub.ws_url();
  config.finnhub_calls_per_minute = 6'000;
  return config;
}

}  // namespace stockalert::fetcher
