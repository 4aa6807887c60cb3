// The process's metrics, on prometheus-cpp; served by http::AdminServer.
//
//   static auto& refused = metrics::GetCounter("stockalert_fetcher_quotes_refused_total", "Quotes refused", {});
//   refused.Increment();
//
// Thread-safe. Asking again for the same name and labels gives the same metric; keep the reference where it is hot.
// Label values must come from a small fixed set: no ids, no symbols.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace stockalert::metrics {

using Labels = std::map<std::string, std::string>;

// The one registry of the process.
const std::shared_ptr<prometheus::Registry>& Registry();

// 0.5 ms to 30 s, in seconds.
const prometheus::Histogram::BucketBoundaries& LatencySecondsBuckets();
// 1 to 1,000,000, in powers of about three.
const prometheus::Histogram::BucketBoundaries& CountBuckets();

prometheus::Counter& GetCounter(const std::string& name, const std::string& help, const Labels& labels = {});
prometheus::Gauge& GetGauge(const std::string& name, const std::string& help, const Labels& labels = {});
prometheus::Histogram& GetHistogram(const std::string& name, const std::string& help, const Labels& labels = {},
                                    const prometheus::Histogram::BucketBoundaries& buckets = LatencySecondsBuckets());

// All metrics in Prometheus's text format.
std::string ExpositionText();

}  // namespace stockalert::metrics
