// What the process takes of its machine, by the names that Prometheus's own clients give:
// process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds, process_max_fds and
// process_start_time_seconds.
#pragma once

namespace stockalert::metrics {

// Reads them anew from /proc; what cannot be read keeps its last value. Thread-safe.
void UpdateProcessMetrics();

}  // namespace stockalert::metrics
