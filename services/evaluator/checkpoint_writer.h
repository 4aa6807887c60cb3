// Encodes and writes checkpoints on a thread of its own, one at a time, beside the evaluator's.
//
// Thread-safe. A checkpoint that cannot be written is no loss: a later one replaces it, and a replay takes longer until
// then.
#pragma once

#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "services/common/base/mutex.h"
#include "services/common/process/liveness.h"
#include "services/evaluator/evaluator_logic.h"
#include "services/evaluator/evaluator_loop.h"

namespace stockalert::evaluator {

class CheckpointWriter final : public CheckpointSink {
 public:
  explicit CheckpointWriter(EvaluatorStore& store);
  // Waits for the one that is being written; one that waits is dropped.
  ~CheckpointWriter() override;

  bool is_free() const override;
  // Takes the draft; is_free() must be true.
  void Write(EvaluatorLogic::Draft draft) override;

  std::vector<Result> TakeResults() override;

  // Encodes and writes on the caller's thread.
  static Result WriteNow(EvaluatorStore& store, const EvaluatorLogic::Draft& draft);

 private:
  void Work();

  EvaluatorStore& store_;
  mutable base::Mutex mutex_;
  base::ConditionVariable changed_;
  std::optional<EvaluatorLogic::Draft> waiting_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Result> results_ ABSL_GUARDED_BY(mutex_);
  process::Heartbeat heartbeat_{"evaluator_checkpoints"};  // Watched while one is being written.
  std::thread thread_;
};

}  // namespace stockalert::evaluator
