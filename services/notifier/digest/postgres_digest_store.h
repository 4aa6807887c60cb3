// DigestStore on PostgreSQL (schema/0006_digests.sql). Thread-safe.
#pragma once

#include "services/common/postgres/pool.h"
#include "services/notifier/digest/digest_store.h"

namespace stockalert::notifier {

class PostgresDigestStore final : public DigestStore {
 public:
  // `pool` must outlive it.
  explicit PostgresDigestStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<DigestResult> MakeDigests(const DigestBounds& bounds, int64_t now_us) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::notifier
