// The source without prices of its own: all of them come by PublishQuotes. Thread-safe.
#pragma once

#include "services/fetcher/publisher.h"
#include "services/fetcher/source.h"

namespace stockalert::fetcher {

class PublishSource final : public QuoteSource {
 public:
  // `publisher` must outlive it.
  explicit PublishSource(const Publisher& publisher) : publisher_(publisher) {}

  void Start() override {}
  void Stop() override {}
  void SetSymbols(const std::set<std::string>&) override {}
  LookedUp Lookup(const std::string&, const std::string&, absl::Time) override { return {Knowledge::kNoList, {}}; }
  // The last published quotes.
  absl::StatusOr<FetchedQuotes> Fetch(const std::vector<std::string>& symbols, const std::string& user,
                                      const trace::Context&, absl::Time) override;

 private:
  const Publisher& publisher_;
};

// The last published quote of each symbol that has one.
std::vector<internal::v1::QuoteRecord> LastPublishedOf(const Publisher& publisher,
                                                       const std::vector<std::string>& symbols);

}  // namespace stockalert::fetcher
