// Which quotes count for whom. Pure; thread-safe.
#pragma once

#include "services/domain/condition/definition.h"
#include "services/domain/market/session.h"

namespace stockalert::condition {

// Whether quotes of `session` count for alerts with this setting.
constexpr bool CountsSession(Sessions sessions, market::Session session) {
  if (session == market::Session::kRegular) return true;
  return sessions == Sessions::kExtended && session != market::Session::kClosed;
}

}  // namespace stockalert::condition
