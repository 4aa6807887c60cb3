// stockalert-ticker: tickers and their prices. See README.md.
#include "services/common/process/run_main.h"
#include "services/ticker/app.h"
#include "services/ticker/config.h"

int main(int argc, char** argv) {
  stockalert::ticker::Config config;
  return stockalert::process::RunMain(
      argc, argv,
      {.name = "stockalert-ticker",
       .description = "Tickers and their prices",
       .declare = [&config](stockalert::config::Parser& parser) { stockalert::ticker::Declare(parser, config); },
       .create = [&config]() -> absl::StatusOr<std::unique_ptr<stockalert::process::App>> {
         return stockalert::ticker::TickerApp::Create(config);
       }});
}
