// Which quotes count for whom. Pure; thread-safe.
#pragma once

#include "services/domain/condition/definition.h"
#include "services/domain/market/session.h"

namespace stockalert::condition {

// Whether quotes of the session are among those that count.
constexpr bool Counts(Sessions sessions, market::Session session) {
  if (session == market::Session::kRegular) return true;
  return sessions == Sessions::kExtended && session != market::Session::kClosed;
}

}  // namespace stockalert::condition
