// The table dead_letters of a service's schema (the same in each; see services/SERVICE/schema).
#pragma once

#include <string>

#include "services/common/dead_letter/dead_letter.h"
#include "services/common/postgres/pool.h"

namespace stockalert::dead_letter {

// How long a replayed letter's row is kept, without its value.
inline constexpr int64_t kReplayedKeptUs = int64_t{30} * 24 * 3600 * 1'000'000;

class PostgresDeadLetterStore final : public DeadLetterStore {
 public:
  // `schema`: "stockalert_alert". `version`: of the program, kept with each letter. `pool` must outlive it.
  PostgresDeadLetterStore(postgres::Pool& pool, std::string schema, std::string version,
                          const Bounds& bounds = Bounds());

  absl::Status Add(const std::vector<DeadLetter>& letters, int64_t now_us) override;
  absl::StatusOr<bool> Has(const DeadLetter& letter) override;
  absl::StatusOr<int64_t> CountOpen() override;

 private:
  postgres::Pool& pool_;
  const std::string schema_;
  const std::string version_;
  const Bounds bounds_;
};

}  // namespace stockalert::dead_letter
