// DeviceService on four scripted GPUs and on CPU slots.
#include <map>

#include "gmock/gmock.h"
#include "tests/integration/service/server.h"

namespace yoke::service {
namespace {

class Devices : public ApiTest {
 protected:
  v1::ListDevicesResponse List() {
    grpc::ClientContext context;
    v1::ListDevicesResponse response;
    const grpc::Status status = devices_->ListDevices(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  grpc::Status Resolve(const std::string& device, v1::ResolveDevicesResponse* response) {
    grpc::ClientContext context;
    v1::ResolveDevicesRequest request;
    request.set_device(device);
    return devices_->ResolveDevices(&context, request, response);
  }
};

TEST_F(Devices, TheDropDownAndWhoHoldsWhat) {
  UseGpus();
  Script(R"({"run_for": 60})");
  Start();
  const std::string id = Submit("0,2");
  WaitForState(id, v1::Job::RUNNING);
  const v1::ListDevicesResponse list = List();
  ASSERT_EQ(list.devices_size(), 8);
  EXPECT_EQ(list.devices(0).state(), v1::Device::LEASED);
  EXPECT_EQ(list.devices(0).holder(), "jobs/" + id);
  EXPECT_EQ(list.devices(1).state(), v1::Device::FREE);
  EXPECT_EQ(list.devices(1).holder(), "");
  EXPECT_EQ(list.devices(2).state(), v1::Device::LEASED);
  EXPECT_EQ(list.devices(4).kind(), v1::Device::CPU_SLOT);
  ASSERT_EQ(list.choices_size(), 7);
  EXPECT_EQ(list.choices(0).label(), "Auto (All 4 GPUs)");
  EXPECT_EQ(list.choices(0).device(), "auto");
  EXPECT_EQ(list.choices(1).label(), "GPU 0: NVIDIA GeForce RTX 4090");
  EXPECT_EQ(list.choices(6).label(), "Custom...");
  EXPECT_EQ(list.choices(6).device(), "");
}

TEST_F(Devices, ADeviceStringIsResolvedOrRefusedAsASubmissionWouldBe) {
  UseGpus();
  Start();
  v1::ResolveDevicesResponse response;
  ASSERT_TRUE(Resolve("2,0", &response).ok());
  EXPECT_EQ(response.world_size(), 2);
  ASSERT_EQ(response.devices_size(), 2);
  EXPECT_EQ(response.devices(0).index(), 2);
  EXPECT_EQ(response.message(), "Devices: 2,0 (2 GPUs)");
  response.Clear();
  ASSERT_TRUE(Resolve("gpus:3", &response).ok());
  EXPECT_EQ(response.devices_size(), 0);
  EXPECT_EQ(response.world_size(), 3);
  const std::map<std::string, std::string> refused = {
      {"5", "DEVICE_NOT_AVAILABLE"}, {"0,0", "DEVICE_DUPLICATE"}, {"", "DEVICE_STRING_INVALID"}};
  for (const auto& [device, reason] : refused) {
    const grpc::Status status = Resolve(device, &response);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << device;
    EXPECT_EQ(Reason(status), reason) << device;
    EXPECT_THAT(Fields(status), testing::ElementsAre("device"));
  }
}

TEST_F(Devices, AWatcherSeesThemAtOnceAndWhenAJobTakesOne) {
  Script(R"({"run_for": 0.5})");
  Start();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const auto reader = devices_->WatchDevices(&context, {});
  v1::WatchDevicesResponse frame;
  ASSERT_TRUE(reader->Read(&frame));
  ASSERT_EQ(frame.devices_size(), 4);
  EXPECT_EQ(frame.devices(1).state(), v1::Device::FREE);
  EXPECT_TRUE(frame.has_time());
  const std::string id = Submit("1");
  ASSERT_TRUE(reader->Read(&frame));
  EXPECT_EQ(frame.devices(1).state(), v1::Device::LEASED);
  EXPECT_EQ(frame.devices(1).holder(), "jobs/" + id);
  ASSERT_TRUE(reader->Read(&frame));
  EXPECT_EQ(frame.devices(1).state(), v1::Device::FREE);
  services_->Shutdown();
  while (reader->Read(&frame)) {
  }
  EXPECT_EQ(Reason(reader->Finish()), "SHUTTING_DOWN");
}

TEST_F(Devices, DrainedOnesAreShownAndGivenOutAgainAndNonsenseIsRefused) {
  UseGpus();
  Start();
  const auto drain = [this](const std::string& device, const std::string& reason, v1::Device* drained) {
    grpc::ClientContext context;
    v1::DrainDeviceRequest request;
    request.set_device(device);
    request.set_reason(reason);
    return devices_->DrainDevice(&context, request, drained);
  };
  const auto resume = [this](const std::string& device, v1::Device* resumed) {
    grpc::ClientContext context;
    v1::ResumeDeviceRequest request;
    request.set_device(device);
    return devices_->ResumeDevice(&context, request, resumed);
  };
  v1::Device device;
  ASSERT_TRUE(drain("1", "fan is loud", &device).ok());
  EXPECT_EQ(device.state(), v1::Device::DRAINED);
  EXPECT_FALSE(device.failed());
  EXPECT_EQ(List().devices(1).state(), v1::Device::DRAINED);
  EXPECT_THAT(List().devices(1).message(), ::testing::StartsWith("fan is loud ("));
  ASSERT_TRUE(drain(List().devices(1).uuid(), "", &device).ok());  // again: another reason
  EXPECT_THAT(device.message(), ::testing::StartsWith("by "));
  ASSERT_TRUE(resume("1", &device).ok());
  EXPECT_EQ(device.state(), v1::Device::FREE);
  ASSERT_TRUE(resume("1", &device).ok());
  EXPECT_EQ(drain("1", "two\nlines", &device).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  for (const char* wrong : {"", "9", "cpu:9", "GPU-", "0,1", "auto", "cpu"}) {
    EXPECT_EQ(drain(wrong, "", &device).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << wrong;
    EXPECT_EQ(resume(wrong, &device).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << wrong;
  }
  EXPECT_EQ(drain("0", std::string(201, 'x'), &device).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(List().devices(0).state(), v1::Device::FREE);
}

}  // namespace
}  // namespace yoke::service
