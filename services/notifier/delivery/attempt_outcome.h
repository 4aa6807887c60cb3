// What an attempt means for its delivery and for its destination. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

#include "services/notifier/delivery/delivery_store.h"
#include "services/notifier/delivery/request_sender.h"
#include "services/notifier/delivery/verdict.h"

namespace stockalert::notifier {

// The part of an answer that is kept.
inline constexpr size_t kAnswerBytesMax = 1024;

// An attempt that began at `start_us` and ended at `now_us`, to be settled; not for kNotAttempted. `verdict`: of its
// reply, or that there was none. `random_fraction`: from [0, 1).
SettledAttempt JudgeAttempt(const LaneLease& lease, const Delivery& delivery, const AttemptResult& result,
                            const Verdict& verdict, int64_t start_us, double random_fraction, int64_t now_us);

// An attempt that could not be made for a reason that concerns all destinations of its kind. The pause is lengthened by
// up to half, so that they do not all come back at once.
SettledAttempt JudgePostponedAttempt(const LaneLease& lease, const Delivery& delivery, absl::Duration pause,
                                     double random_fraction, int64_t now_us);

// An attempt that could not be made and never will be; the user is told `error`.
SettledAttempt JudgeImpossibleAttempt(const LaneLease& lease, const Delivery& delivery, std::string_view error,
                                      DisableReason disable_reason, int64_t now_us);

}  // namespace stockalert::notifier
