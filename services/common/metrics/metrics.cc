#include "services/common/metrics/metrics.h"

#include "prometheus/text_serializer.h"

namespace stockalert::metrics {

const std::shared_ptr<prometheus::Registry>& Registry() {
  // Never destroyed: threads may still count while statics are torn down.
  static const auto* const registry =
      new std::shared_ptr<prometheus::Registry>(std::make_shared<prometheus::Registry>());
  return *registry;
}

const prometheus::Histogram::BucketBoundaries& LatencySecondsBuckets() {
  static const auto* const buckets = new prometheus::Histogram::BucketBoundaries{
      0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30};
  return *buckets;
}

const prometheus::Histogram::BucketBoundaries& CountBuckets() {
  static const auto* const buckets = new prometheus::Histogram::BucketBoundaries{
      1, 3, 10, 30, 100, 300, 1'000, 3'000, 10'000, 30'000, 100'000, 300'000, 1'000'000};
  return *buckets;
}

prometheus::Counter& GetCounter(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*Registry()).Add(labels);
}

prometheus::Gauge& GetGauge(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*Registry()).Add(labels);
}

prometheus::Histogram& GetHistogram(const std::string& name, const std::string& help, const Labels& labels,
                                    const prometheus::Histogram::BucketBoundaries& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*Registry()).Add(labels, buckets);
}

std::string ExpositionText() { return prometheus::TextSerializer().Serialize(Registry()->Collect()); }

}  // namespace stockalert::metrics
