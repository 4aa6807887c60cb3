#include "services/evaluator/checkpoint_writer.h"

#include <utility>

namespace stockalert::evaluator {

CheckpointWriter::CheckpointWriter(EvaluatorStore& store) : store_(store), thread_([this] { Work(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

bool CheckpointWriter::is_free() const {
  base::MutexLock lock(mutex_);
  return !waiting_ && !writing_;
}

void CheckpointWriter::Write(EvaluatorLogic::Draft draft) {
  {
    base::MutexLock lock(mutex_);
    waiting_ = std::move(draft);
  }
  changed_.NotifyAll();
}

std::vector<CheckpointWriter::Result> CheckpointWriter::TakeResults() {
  base::MutexLock lock(mutex_);
  return std::exchange(results_, {});
}

CheckpointWriter::Result CheckpointWriter::WriteNow(EvaluatorStore& store, const EvaluatorLogic::Draft& draft) {
  const StoredCheckpoint checkpoint = EvaluatorLogic::Encode(draft);
  return {draft.partition, draft.epoch, draft.next_offset, checkpoint.state.size(),
          store.WriteCheckpoint(checkpoint, draft.epoch)};
}

void CheckpointWriter::Work() {
  base::MutexLock lock(mutex_);
  for (;;) {
    changed_.Wait(lock, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || waiting_; });
    if (stopping_) return;
    const EvaluatorLogic::Draft draft = *std::exchange(waiting_, std::nullopt);
    writing_ = true;
    lock.Unlock();
    heartbeat_.Beat();
    Result result = WriteNow(store_, draft);
    heartbeat_.End();
    lock.Lock();
    writing_ = false;
    results_.push_back(std::move(result));
  }
}

}  // namespace stockalert::evaluator
