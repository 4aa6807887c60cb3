// stockalert-evaluator: folds the log of its partitions and commits what that makes happen.
#include "services/common/process/run_main.h"
#include "services/evaluator/app.h"
#include "services/evaluator/config.h"

int main(int argc, char** argv) {
  stockalert::evaluator::Config config;
  return stockalert::process::RunMain(
      argc, argv,
      {.name = "stockalert-evaluator",
       .description = "Evaluates alerts: folds the log of prices and alert changes into triggers",
       .declare = [&](stockalert::config::Parser& parser) { stockalert::evaluator::Declare(parser, config); },
       .create = [&] { return stockalert::evaluator::EvaluatorApp::Create(config); }});
}
