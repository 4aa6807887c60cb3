#include "services/fetcher/publish_source.h"

#include <utility>

namespace stockalert::fetcher {

namespace pb = ::stockalert::internal::v1;

std::vector<pb::QuoteRecord> LastPublishedOf(const Publisher& publisher, const std::vector<std::string>& symbols) {
  std::vector<pb::QuoteRecord> quotes;
  for (const std::string& symbol : symbols) {
    if (auto quote = publisher.LastPublished(symbol)) quotes.push_back(*std::move(quote));
  }
  return quotes;
}

absl::StatusOr<FetchedQuotes> PublishSource::Fetch(const std::vector<std::string>& symbols, const std::string&,
                                                   const trace::Context&, absl::Time) {
  return FetchedQuotes{LastPublishedOf(publisher_, symbols), {}};
}

}  // namespace stockalert::fetcher
