// stockalert-notifier: notifications of triggers. See README.md.
#include "services/common/process/run_main.h"
#include "services/notifier/app.h"
#include "services/notifier/config.h"

int main(int argc, char** argv) {
  stockalert::notifier::Config config;
  return stockalert::process::RunMain(
      argc, argv,
      {.name = "stockalert-notifier",
       .description = "Stores what triggers tell their users, and streams it",
       .declare = [&config](stockalert::config::Parser& parser) { stockalert::notifier::Declare(parser, config); },
       .create = [&config]() -> absl::StatusOr<std::unique_ptr<stockalert::process::App>> {
         return stockalert::notifier::NotifierApp::Create(config);
       }});
}
