// Errors on their way out: absl::Status inside the daemon, google.rpc.Status on the wire.
//
// Every error carries one ErrorInfo{reason, domain "yoke"}: scripts match the reason, people read
// the message. The reason is the status payload "yoke.reason" that any folder may set; further
// details (BadRequest, ResourceInfo ...) are payloads under their type URL, put there by
// WithDetail.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/status.h"
#include "server/jobs/spec.h"

namespace yoke::service {

inline constexpr char kErrorDomain[] = "yoke";
// Trailers of 8 KiB are all that a gRPC client takes unless told otherwise: message and details are
// cut to fit.
inline constexpr size_t kMessageBytesMax = 1800;
inline constexpr size_t kDetailBytesMax = 1800;

// OK stays OK. Without "yoke.reason" the reason is the code's own name. Errors that are the
// daemon's fault (INTERNAL, DATA_LOSS, UNKNOWN) are logged: this is the last place that knows them.
grpc::Status ToGrpc(const absl::Status& status);

// The same status with a reason, unless it has one; OK stays OK.
absl::Status WithReason(absl::Status status, absl::string_view reason);
std::string ReasonOf(const absl::Status& status);

// The same status with one more message of google.rpc; one per type.
absl::Status WithDetail(absl::Status status, const google::protobuf::Message& detail);

// INVALID_ARGUMENT with a BadRequest; the message names every violation, a line each.
absl::Status InvalidFields(const std::vector<jobs::Violation>& violations,
                           absl::string_view reason);
absl::Status InvalidField(const std::string& field, const std::string& description,
                          absl::string_view reason);

// `status` (INVALID_ARGUMENT from below) as a violation of `field`.
absl::Status AsFieldError(absl::Status status, const std::string& field, absl::string_view reason);

// RESOURCE_EXHAUSTED with RetryInfo.
absl::Status Exhausted(const std::string& message, absl::string_view reason,
                       absl::Duration retry_after);

// UNAVAILABLE, reason SHUTTING_DOWN.
absl::Status ShuttingDown();

}  // namespace yoke::service
