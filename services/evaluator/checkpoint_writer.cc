#include "services/evaluator/checkpoint_writer.h"

#include <utility>

namespace stockalert::evaluator {

CheckpointWriter::CheckpointWriter(EvaluatorStore& store) : store_(store), thread_([this] { Work(); }) {}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool CheckpointWriter::is_free() const {
  const std::lock_guard lock(mutex_);
  return !waiting_ && !writing_;
}

void CheckpointWriter::Write(EvaluatorLogic::Draft draft) {
  {
    const std::lock_guard lock(mutex_);
    waiting_ = std::move(draft);
  }
  changed_.notify_all();
}

std::vector<CheckpointWriter::Result> CheckpointWriter::TakeResults() {
  const std::lock_guard lock(mutex_);
  return std::exchange(results_, {});
}

CheckpointWriter::Result CheckpointWriter::WriteNow(EvaluatorStore& store, const EvaluatorLogic::Draft& draft) {
  const StoredCheckpoint checkpoint = EvaluatorLogic::Encode(draft);
  return {draft.partition, draft.epoch, draft.next_offset, checkpoint.state.size(),
          store.WriteCheckpoint(checkpoint, draft.epoch)};
}

void CheckpointWriter::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || waiting_; });
    if (stopping_) return;
    const EvaluatorLogic::Draft draft = *std::exchange(waiting_, std::nullopt);
    writing_ = true;
    lock.unlock();
    heartbeat_.Beat();
    Result result = WriteNow(store_, draft);
    heartbeat_.End();
    lock.lock();
    writing_ = false;
    results_.push_back(std::move(result));
  }
}

}  // namespace stockalert::evaluator
