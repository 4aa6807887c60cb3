// stockalert-user: users, API keys and followed tickers.
#include "services/common/process/run_main.h"
#include "services/user/app.h"
#include "services/user/config.h"

int main(int argc, char** argv) {
  stockalert::user::Config config;
  return stockalert::process::RunMain(
      argc, argv,
      {.name = "stockalert-user",
       .description = "Users, their API keys and the tickers that they follow",
       .declare = [&config](stockalert::config::Parser& parser) { stockalert::user::Declare(parser, config); },
       .create = [&config]() -> absl::StatusOr<std::unique_ptr<stockalert::process::App>> {
         return stockalert::user::UserApp::Create(config);
       }});
}
