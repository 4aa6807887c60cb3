#include "services/alert/app.h"
#include "services/alert/config.h"
#include "services/common/process/run_main.h"

int main(int argc, char** argv) {
  stockalert::alert::Config config;
  return stockalert::process::RunMain(
      argc, argv,
      {.name = "stockalert-alert",
       .description = "Alerts, their state and the history of their triggers",
       .declare = [&](stockalert::config::Parser& parser) { stockalert::alert::Declare(parser, config); },
       .create = [&] { return stockalert::alert::AlertApp::Create(config); }});
}
