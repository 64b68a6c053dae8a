// Turns what a call answered into one absl::Status: the code decides the exit code, the message is for
// people and already holds every field violation, the payload holds the stable reason.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace yoke::client {

absl::Status FromGrpc(const grpc::Status& status);

// `details` as the server packs them: ErrorInfo, BadRequest, PreconditionFailure, QuotaFailure, RetryInfo.
absl::Status FromDetails(absl::StatusCode code, const std::string& message, const google::rpc::Status& details);

// ErrorInfo.reason, "DEVICE_NOT_AVAILABLE" and the like; empty when there is none.
std::string ReasonOf(const absl::Status& status);

}  // namespace yoke::client
