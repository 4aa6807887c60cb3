// condition::Definition as the log carries it, and back. Pure and thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "services/domain/condition/definition.h"
#include "services/domain/market/session.h"
#include "stockalert/internal/v1/log.pb.h"

namespace stockalert::record {

internal::v1::AlertDefinition EncodeDefinition(const condition::Definition& definition);

// INVALID_ARGUMENT names the first field that is missing, unknown or against the rules of
// condition::FindViolationAfterSplits.
absl::StatusOr<condition::Definition> DecodeDefinition(const internal::v1::AlertDefinition& encoded);

// The session of a quote; UNSPECIFIED and unknown values are INVALID_ARGUMENT.
internal::v1::TradingSession EncodeSession(market::Session session);
absl::StatusOr<market::Session> DecodeSession(internal::v1::TradingSession encoded);

}  // namespace stockalert::record
