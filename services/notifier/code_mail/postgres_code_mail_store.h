// CodeMailStore in the table code_mails.
#pragma once

#include "services/common/postgres/pool.h"
#include "services/notifier/code_mail/code_mail_store.h"

namespace stockalert::notifier {

class PostgresCodeMailStore final : public CodeMailStore {
 public:
  // `pool` must outlive it.
  explicit PostgresCodeMailStore(postgres::Pool& pool) : pool_(pool) {}

  absl::StatusOr<std::vector<QueuedCodeMail>> ClaimDue(int limit, int64_t until_us, int64_t now_us) override;
  absl::Status PutBack(const QueuedCodeMail& mail, int64_t next_attempt_us) override;
  absl::Status Finish(const QueuedCodeMail& mail) override;

 private:
  postgres::Pool& pool_;
};

}  // namespace stockalert::notifier
