#include "services/common/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "services/common/base/mutex.h"
#include "services/common/metrics/metrics.h"

namespace stockalert::metrics {
namespace {

// The nth number of a file of numbers; -1 where it cannot be read.
double ReadNumber(const char* path, int nth) {
  std::ifstream file(path);
  double value = -1;
  for (int i = 0; i < nth; ++i) {
    if (!(file >> value)) return -1;
  }
  return value;
}

double CpuSeconds() {
  timespec used = {};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return -1;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Since 1970; -1 where it cannot be read.
double StartTimeSeconds() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  if (!std::getline(file, text)) return -1;
  // The program's name, in parentheses, may hold anything; the start is the 20th field behind it, in ticks since the
  // machine's start.
  const size_t end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return -1;
  std::string field;
  size_t at = end_of_name + 1;
  for (int i = 0; i < 20; ++i) {
    at = text.find_first_not_of(' ', at);
    if (at == std::string::npos) return -1;
    const size_t end = text.find(' ', at);
    field = text.substr(at, end - at);
    at = end == std::string::npos ? text.size() : end;
  }
  const double uptime = ReadNumber("/proc/uptime", 1);
  if (uptime < 0) return -1;
  const double age = uptime - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return static_cast<double>(std::time(nullptr)) - age;
}

double CountOpenFiles() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error))
    ++count;
  return error ? -1 : count;
}

}  // namespace

void UpdateProcessMetrics() {
  static auto& memory = GetGauge("process_resident_memory_bytes", "Memory that is resident");
  static auto& cpu = GetCounter("process_cpu_seconds_total", "CPU time used, by user and system");
  static auto& open_files = GetGauge("process_open_fds", "Open files and connections");
  static auto& start = GetGauge("process_start_time_seconds", "When the process began, since 1970");
  static auto& max_files = GetGauge("process_max_fds", "Files and connections that may be open");
  static const bool once = [] {
    if (const double began = StartTimeSeconds(); began >= 0) start.Set(began);
    rlimit limit = {};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) max_files.Set(static_cast<double>(limit.rlim_cur));
    return true;
  }();
  static_cast<void>(once);
  // Two scrapes at once would both add what the CPU counter lacks.
  static base::Mutex mutex;
  base::MutexLock lock(mutex);
  if (const double pages = ReadNumber("/proc/self/statm", 2); pages >= 0)
    memory.Set(pages * static_cast<double>(sysconf(_SC_PAGESIZE)));
  if (const double used = CpuSeconds(); used > cpu.Value()) cpu.Increment(used - cpu.Value());
  if (const double count = CountOpenFiles(); count >= 0) open_files.Set(count);
}

}  // namespace stockalert::metrics
