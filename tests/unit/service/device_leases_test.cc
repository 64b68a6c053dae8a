// What ListDevices shows of the leases.
#include "gtest/gtest.h"
#include "server/service/device_service.h"

namespace yoke::service {
namespace {

v1::Device Device(const std::string& uuid, v1::Device::State state,
                  const std::string& message = "") {
  v1::Device device;
  device.set_uuid(uuid);
  device.set_state(state);
  device.set_message(message);
  return device;
}

TEST(DeviceLeases, HoldersQuarantineAndLostDevices) {
  std::vector<v1::Device> devices = {Device("a", v1::Device::FREE), Device("b", v1::Device::FREE),
                                     Device("c", v1::Device::LOST, "fell off the bus"),
                                     Device("d", v1::Device::BUSY_FOREIGN, "process 7 uses it"),
                                     Device("e", v1::Device::BUSY_FOREIGN)};
  ShowLeases({{"a", "j1", 1},
              {"b", "j2", 1, true, "process 9 did not end"},
              {"c", "j3", 1},
              {"e", "j1", 1},
              {"gone", "j1", 1}},
             devices);
  EXPECT_EQ(devices[0].state(), v1::Device::LEASED);
  EXPECT_EQ(devices[0].holder(), "jobs/j1");
  EXPECT_EQ(devices[1].state(), v1::Device::QUARANTINED);
  EXPECT_EQ(devices[1].message(), "process 9 did not end");
  EXPECT_EQ(devices[2].state(), v1::Device::LOST);
  EXPECT_EQ(devices[2].message(), "fell off the bus");
  EXPECT_EQ(devices[2].holder(), "jobs/j3");
  EXPECT_EQ(devices[3].state(), v1::Device::BUSY_FOREIGN);
  EXPECT_EQ(devices[3].holder(), "");
  EXPECT_EQ(devices[4].state(), v1::Device::LEASED);
}

}  // namespace
}  // namespace yoke::service
