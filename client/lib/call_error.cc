#include "client/lib/call_error.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"

namespace yoke::client {
namespace {

constexpr char kReasonPayload[] = "yoke.reason";

// "train.batch" + "must be at least 1" -> "batch: must be at least 1"; a description that names the key, or is a
// sentence of its own ("GPU 5 not available.", "'x' is not a job id"), stands alone. "requests[3]" of a batch stays in front.
std::string Sentence(const std::string& field, const std::string& description) {
  const std::string place = absl::StartsWith(field, "requests[") ? field.substr(0, field.find(']') + 1) : "";
  if (absl::string_view rest = description; !place.empty() && absl::ConsumePrefix(&rest, absl::StrCat(place, ": "))) {
    return absl::StrCat(place, ": ", Sentence(field.substr(place.size()), std::string(rest)));
  }
  const std::string key = field.substr(field.rfind('.') + 1);
  const bool sentence = !description.empty() && (absl::ascii_isupper(description[0]) || description[0] == '\'');
  if (key.empty() || sentence || absl::StrContains(description, key)) return description;
  return absl::StrCat(key, ": ", description);
}

void AddLine(std::vector<std::string>& lines, const std::string& line) {
  for (const std::string& seen : lines) {
    if (absl::StrContains(seen, line)) return;
  }
  lines.push_back(line);
}

}  // namespace

absl::Status FromDetails(absl::StatusCode code, const std::string& message, const google::rpc::Status& details) {
  std::vector<std::string> lines;
  std::string reason, retry;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    google::rpc::PreconditionFailure precondition;
    google::rpc::QuotaFailure quota;
    google::rpc::RetryInfo retry_info;
    if (any.UnpackTo(&info)) {
      reason = info.reason();
    } else if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) AddLine(lines, Sentence(violation.field(), violation.description()));
    } else if (any.UnpackTo(&precondition)) {
      for (const auto& violation : precondition.violations()) AddLine(lines, violation.description());
    } else if (any.UnpackTo(&quota)) {
      for (const auto& violation : quota.violations()) AddLine(lines, violation.description());
    } else if (any.UnpackTo(&retry_info) && retry_info.retry_delay().seconds() > 0) {
      retry = absl::StrCat("try again in ", retry_info.retry_delay().seconds(), " s");
    }
  }
  if (lines.empty()) lines.push_back(message.empty() ? absl::StatusCodeToString(code) : message);
  if (!retry.empty()) lines.push_back(retry);
  absl::Status status(code, absl::StrJoin(lines, "\n"));
  if (!reason.empty()) status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  return FromDetails(static_cast<absl::StatusCode>(status.error_code()), status.error_message(), details);
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonPayload);
  return payload.has_value() ? std::string(*payload) : "";
}

}  // namespace yoke::client
