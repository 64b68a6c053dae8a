#include "server/service/errors.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/strings.h"
#include "common/base/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "spdlog/spdlog.h"

namespace yoke::service {
namespace {

constexpr char kReasonPayload[] = "yoke.reason";
constexpr char kTypeUrlPrefix[] = "type.googleapis.com/";

// Bytes of `c` in the header grpc-message, which is percent-encoded.
size_t EncodedSize(char c) { return c >= 0x20 && c <= 0x7e && c != '%' ? 1 : 3; }

bool ContinuesCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// File names and output may hold any bytes; protobuf's strings, which clients refuse to parse
// otherwise, may not.
std::string AsUtf8(absl::string_view text) {
  std::string valid;
  for (std::string_view rest = ToStd(text); !rest.empty();) {
    const std::string_view character = TakeUtf8(rest);
    valid += character.empty() ? "?" : character;
  }
  return valid;
}

// At most kMessageBytesMax when encoded; never a part of a UTF-8 character.
std::string Cut(absl::string_view message) {
  size_t bytes = 0;
  for (size_t i = 0; i < message.size(); ++i) {
    bytes += EncodedSize(message[i]);
    if (bytes <= kMessageBytesMax - 4) continue;
    while (i > 0 && ContinuesCharacter(message[i])) --i;
    return absl::StrCat(message.substr(0, i), " ...");
  }
  return std::string(message);
}

bool IsOwnFault(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kDataLoss ||
         code == absl::StatusCode::kUnknown;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  if (IsOwnFault(status.code())) spdlog::error("answering with {}", status.ToString());
  const std::string message = Cut(AsUtf8(status.message()));
  google::rpc::Status out;
  out.set_code(static_cast<int>(status.code()));
  out.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(ReasonOf(status));
  info.set_domain(kErrorDomain);
  out.add_details()->PackFrom(info);
  size_t bytes = 0;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    if (!absl::StartsWith(url, kTypeUrlPrefix) || (bytes += payload.size()) > kDetailBytesMax)
      return;
    google::protobuf::Any& any = *out.add_details();
    any.set_type_url(std::string(url));
    any.set_value(std::string(payload));
  });
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      out.SerializeAsString());
}

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  if (!status.ok() && !status.GetPayload(kReasonPayload).has_value())
    status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto reason = status.GetPayload(kReasonPayload);
  return reason.has_value() ? std::string(*reason) : absl::StatusCodeToString(status.code());
}

absl::Status WithDetail(absl::Status status, const google::protobuf::Message& detail) {
  if (!status.ok())
    status.SetPayload(absl::StrCat(kTypeUrlPrefix, detail.GetDescriptor()->full_name()),
                      absl::Cord(detail.SerializeAsString()));
  return status;
}

absl::Status InvalidFields(const std::vector<jobs::Violation>& violations,
                           absl::string_view reason) {
  google::rpc::BadRequest bad;
  for (size_t i = 0; i < violations.size(); ++i) {
    auto& added = *bad.add_field_violations();
    added.set_field(AsUtf8(violations[i].field));
    added.set_description(AsUtf8(violations[i].description));
    if (bad.ByteSizeLong() <= kDetailBytesMax - 100) continue;
    // A client shows the violations instead of the message: what does not fit is counted.
    added.clear_field();
    added.set_description(i == 0 ? AsUtf8(Cut(added.description()).substr(0, kDetailBytesMax / 2))
                                 : absl::StrCat("and ", violations.size() - i, " more"));
    break;
  }
  const std::string message =
      absl::StrJoin(violations, "\n", [](std::string* out, const jobs::Violation& violation) {
        absl::StrAppend(out, violation.description);
      });
  return WithReason(WithDetail(absl::InvalidArgumentError(message), bad), reason);
}

absl::Status InvalidField(const std::string& field, const std::string& description,
                          absl::string_view reason) {
  return InvalidFields({{field, description}}, reason);
}

absl::Status AsFieldError(absl::Status status, const std::string& field, absl::string_view reason) {
  if (!absl::IsInvalidArgument(status)) return status;
  const auto own = status.GetPayload(kReasonPayload);
  return InvalidField(field, std::string(status.message()),
                      own.has_value() ? std::string(*own) : std::string(reason));
}

absl::Status Exhausted(const std::string& message, absl::string_view reason,
                       absl::Duration retry_after) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(retry_after));
  return WithReason(WithDetail(absl::ResourceExhaustedError(message), retry), reason);
}

absl::Status ShuttingDown() {
  return WithReason(
      absl::UnavailableError("the daemon is stopping; jobs go on. Connect again when it is back"),
      "SHUTTING_DOWN");
}

}  // namespace yoke::service
