// stockalert-fetcher: the one publisher of prices. See README.md.
#include "services/common/process/run_main.h"
#include "services/fetcher/app.h"
#include "services/fetcher/config.h"

int main(int argc, char** argv) {
  using namespace stockalert;
  fetcher::Config config;
  return process::RunMain(argc, argv,
                          {.name = "stockalert-fetcher",
                           .description = "Fetches prices (Finnhub), replays past ones, and publishes them to the log",
                           .declare = [&](config::Parser& parser) { fetcher::Declare(parser, config); },
                           .create = [&] { return fetcher::FetcherApp::Create(config); }});
}
