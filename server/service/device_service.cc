#include "server/service/device_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "server/jobs/ids.h"
#include "server/service/durations.h"
#include "server/service/errors.h"
#include "server/service/request_fields.h"

namespace yoke::service {
namespace {

constexpr char kListDevices[] = "yoke.v1.DeviceService/ListDevices";
constexpr char kResolveDevices[] = "yoke.v1.DeviceService/ResolveDevices";
constexpr char kWatchDevices[] = "yoke.v1.DeviceService/WatchDevices";
constexpr char kDrainDevice[] = "yoke.v1.DeviceService/DrainDevice";
constexpr char kResumeDevice[] = "yoke.v1.DeviceService/ResumeDevice";
constexpr size_t kReasonMax = 200;
constexpr absl::Duration kFrameIntervalMin = absl::Milliseconds(200);

absl::StatusOr<std::vector<v1::Device>> DevicesNow(const Shared& shared) {
  YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::Lease> leases, shared.store().ListLeases());
  std::vector<v1::Device> devices = shared.inventory().Devices();
  for (v1::Device& absent : shared.inventory().Absent()) devices.push_back(std::move(absent));
  ShowLeases(leases, devices);
  return devices;
}

// "shared, unfenced: jobs/a (4.0 GiB), jobs/b (2.0 GiB); 18.0 GiB left"
std::string SharedWords(const v1::Device& device) {
  constexpr double kGiB = 1 << 30;
  int64_t left = device.memory_total_bytes();
  std::string words = "shared, unfenced: ";
  for (const v1::Share& share : device.shares()) {
    absl::StrAppendFormat(&words, "%s%s (%.1f GiB)", &share == &device.shares(0) ? "" : ", ",
                          share.job(), static_cast<double>(share.memory_bytes()) / kGiB);
    left -= share.memory_bytes();
  }
  absl::StrAppendFormat(&words, "; %.1f GiB left", static_cast<double>(left) / kGiB);
  return words;
}

// The changed device with its holder.
absl::Status Answer(const Shared& shared, const absl::StatusOr<v1::Device>& changed,
                    v1::Device& device) {
  if (absl::IsInvalidArgument(changed.status())) {
    return AsFieldError(changed.status(), "device", "DEVICE_NOT_AVAILABLE");
  }
  if (absl::IsResourceExhausted(changed.status())) return WithReason(changed.status(), "DISK_FULL");
  YOKE_RETURN_IF_ERROR(changed.status());
  YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::Lease> leases, shared.store().ListLeases());
  std::vector<v1::Device> shown = {*changed};
  ShowLeases(leases, shown);
  device = shown[0];
  return absl::OkStatus();
}

}  // namespace

void ShowLeases(const std::vector<jobs::Lease>& leases, std::vector<v1::Device>& devices) {
  for (const jobs::Lease& lease : leases) {
    const auto device = std::find_if(devices.begin(), devices.end(), [&](const v1::Device& other) {
      return other.uuid() == lease.device_uuid;
    });
    if (device == devices.end()) continue;
    if (lease.shared_bytes > 0) {
      v1::Share& share = *device->add_shares();
      share.set_job(jobs::JobName(lease.job_id));
      share.set_memory_bytes(lease.shared_bytes);
    }
    if (!lease.job_id.empty() && device->shares_size() < 2)
      device->set_holder(jobs::JobName(lease.job_id));
    if (device->state() == v1::Device::LOST || device->state() == v1::Device::DRAINED) continue;
    if (device->state() == v1::Device::QUARANTINED) continue;
    device->set_state(lease.quarantined ? v1::Device::QUARANTINED : v1::Device::LEASED);
    device->set_message(lease.quarantined           ? lease.quarantine_reason
                        : device->shares_size() > 0 ? SharedWords(*device)
                                                    : absl::StrCat("held by ", device->holder()));
  }
}

grpc::Status DeviceService::ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest*,
                                        v1::ListDevicesResponse* response) {
  return ToGrpc(List(*context, *response));
}

absl::Status DeviceService::List(const grpc::ServerContext& context,
                                 v1::ListDevicesResponse& response) {
  YOKE_RETURN_IF_ERROR(shared_.Admit(context, kListDevices).status());
  YOKE_ASSIGN_OR_RETURN(const std::vector<v1::Device> devices, DevicesNow(shared_));
  response.mutable_devices()->Assign(devices.begin(), devices.end());
  const std::vector<v1::DeviceChoice> choices = shared_.inventory().Choices();
  response.mutable_choices()->Assign(choices.begin(), choices.end());
  return absl::OkStatus();
}

grpc::Status DeviceService::ResolveDevices(grpc::ServerContext* context,
                                           const v1::ResolveDevicesRequest* request,
                                           v1::ResolveDevicesResponse* response) {
  return ToGrpc(Resolve(*context, request->device(), *response));
}

absl::Status DeviceService::Resolve(const grpc::ServerContext& context, const std::string& device,
                                    v1::ResolveDevicesResponse& response) {
  YOKE_RETURN_IF_ERROR(shared_.Admit(context, kResolveDevices).status());
  const absl::StatusOr<devices::DeviceSelection> selection = shared_.inventory().Resolve(device);
  if (!selection.ok()) return AsFieldError(selection.status(), "device", "DEVICE_NOT_AVAILABLE");
  YOKE_ASSIGN_OR_RETURN(const std::vector<jobs::Lease> leases, shared_.store().ListLeases());
  std::vector<v1::Device> devices = selection->devices;
  ShowLeases(leases, devices);
  response.mutable_devices()->Assign(devices.begin(), devices.end());
  response.set_world_size(selection->world_size);
  response.set_message(selection->sentence);
  return absl::OkStatus();
}

grpc::Status DeviceService::WatchDevices(grpc::ServerContext* context,
                                         const v1::WatchDevicesRequest*,
                                         grpc::ServerWriter<v1::WatchDevicesResponse>* writer) {
  return ToGrpc(Watch(*context, *writer));
}

absl::Status DeviceService::Watch(const grpc::ServerContext& context,
                                  grpc::ServerWriter<v1::WatchDevicesResponse>& writer) {
  YOKE_RETURN_IF_ERROR(shared_.Admit(context, kWatchDevices).status());
  const Follower follower(shared_);
  YOKE_RETURN_IF_ERROR(follower.status());
  std::string sent;  // the devices of the last frame
  absl::Time due = absl::Now();
  while (true) {
    YOKE_RETURN_IF_ERROR(shared_.MayGoOn(context));
    const int64_t heard = shared_.devices_bell().rings();
    YOKE_ASSIGN_OR_RETURN(const std::vector<v1::Device> devices, DevicesNow(shared_));
    v1::WatchDevicesResponse frame;
    frame.mutable_devices()->Assign(devices.begin(), devices.end());
    std::string seen = frame.SerializeAsString();
    if (seen != sent || absl::Now() >= due) {
      *frame.mutable_time() = ToProto(absl::Now());
      if (!writer.Write(frame)) return absl::CancelledError("the client went away");
      sent = std::move(seen);
      due = absl::Now() + kBookmarkInterval;
      absl::SleepFor(kFrameIntervalMin);
    }
    shared_.devices_bell().Wait(heard, kLookInterval);
  }
}

grpc::Status DeviceService::DrainDevice(grpc::ServerContext* context,
                                        const v1::DrainDeviceRequest* request, v1::Device* device) {
  return ToGrpc(Drain(*context, *request, *device));
}

absl::Status DeviceService::Drain(const grpc::ServerContext& context,
                                  const v1::DrainDeviceRequest& request, v1::Device& device) {
  YOKE_ASSIGN_OR_RETURN(const Caller caller, shared_.Admit(context, kDrainDevice));
  if (request.reason().size() > kReasonMax) {
    return InvalidField("reason", absl::StrCat("the reason has ", request.reason().size(),
                                               " characters; it takes ", kReasonMax),
                        "REASON_INVALID");
  }
  if (HasControlCharacters(request.reason())) {
    return InvalidField("reason", "the reason must have no control characters", "REASON_INVALID");
  }
  const std::string reason = request.reason().empty() ? absl::StrCat("by ", caller.user)
                                                      : absl::StrCat(request.reason(), " (", caller.user, ")");
  return Answer(shared_, shared_.inventory().Drain(request.device(), reason), device);
}

grpc::Status DeviceService::ResumeDevice(grpc::ServerContext* context,
                                         const v1::ResumeDeviceRequest* request,
                                         v1::Device* device) {
  return ToGrpc(Resume(*context, request->device(), *device));
}

absl::Status DeviceService::Resume(const grpc::ServerContext& context, const std::string& text,
                                   v1::Device& device) {
  YOKE_RETURN_IF_ERROR(shared_.Admit(context, kResumeDevice).status());
  return Answer(shared_, shared_.inventory().Resume(text), device);
}

}  // namespace yoke::service
