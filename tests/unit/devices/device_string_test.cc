#include "server/devices/device_string.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace yoke::devices {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<v1::Device> Machine(int gpus, int slots) {
  std::vector<v1::Device> devices;
  for (int i = 0; i < gpus; ++i) {
    v1::Device gpu;
    gpu.set_kind(v1::Device::GPU);
    gpu.set_uuid(absl::StrCat("GPU-", i, i, i, i, "-aa"));
    gpu.set_index(i);
    gpu.set_name("NVIDIA GeForce RTX 4090");
    gpu.set_state(v1::Device::FREE);
    devices.push_back(gpu);
  }
  for (int i = 0; i < slots; ++i) {
    v1::Device slot;
    slot.set_kind(v1::Device::CPU_SLOT);
    slot.set_uuid(absl::StrCat("cpu:", i));
    slot.set_index(i);
    slot.set_threads(2);
    slot.set_state(v1::Device::FREE);
    devices.push_back(slot);
  }
  return devices;
}

std::vector<std::string> Uuids(const DeviceSelection& selection) {
  std::vector<std::string> uuids;
  for (const v1::Device& device : selection.devices) uuids.push_back(device.uuid());
  return uuids;
}

struct Case {
  std::string text;
  int gpus;
  std::vector<std::string> uuids;
  int world_size;
  int threads;
  bool cpu;
  int wanted;
};

TEST(DeviceString, EveryFormResolves) {
  const std::vector<std::string> all = {"GPU-0000-aa", "GPU-1111-aa", "GPU-2222-aa", "GPU-3333-aa"};
  const std::vector<Case> cases = {
      {"auto", 4, all, 4, 1, false, 0},
      {"all", 4, all, 4, 1, false, 0},
      {"AUTO", 4, all, 4, 1, false, 0},
      {"0,1,2,3", 4, all, 4, 1, false, 0},
      {"2,0", 4, {all[2], all[0]}, 2, 1, false, 0},
      {" 0 , 2 ", 4, {all[0], all[2]}, 2, 1, false, 0},
      {"3", 4, {all[3]}, 1, 1, false, 0},
      {"GPU-2222-aa", 4, {all[2]}, 1, 1, false, 0},
      {"gpu-2222-aa,GPU-0", 4, {all[2], all[0]}, 2, 1, false, 0},
      {"-1", 4, {}, 1, 1, false, 1},
      {"-1,-1", 4, {}, 2, 1, false, 2},
      {"gpus:3", 4, {}, 3, 1, false, 3},
      {"cpu", 4, {"cpu:0", "cpu:1"}, 1, 4, true, 0},
      {"cpu:1", 4, {"cpu:1"}, 1, 2, true, 0},
      {"cpu:0,1", 4, {"cpu:0", "cpu:1"}, 2, 2, true, 0},
      {"auto", 0, {"cpu:0", "cpu:1"}, 1, 4, true, 0},
      {"all", 0, {"cpu:0", "cpu:1"}, 1, 4, true, 0},
      {"1", 0, {"cpu:1"}, 1, 2, true, 0},
      {"0,1", 0, {"cpu:0", "cpu:1"}, 2, 2, true, 0},
      {"-1,-1", 0, {}, 2, 2, true, 2},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(absl::StrCat("\"", c.text, "\" with ", c.gpus, " GPUs"));
    const auto got = ResolveDeviceString(c.text, Machine(c.gpus, 2), 4);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(Uuids(*got), c.uuids);
    EXPECT_EQ(got->world_size, c.world_size);
    EXPECT_EQ(got->threads_per_rank, c.threads);
    EXPECT_EQ(got->cpu, c.cpu);
    EXPECT_EQ(got->gpus_wanted, c.wanted);
    EXPECT_FALSE(got->sentence.empty());
  }
}

TEST(DeviceString, RefusalsSayWhatAndWhatToDo) {
  struct Refusal {
    std::string text;
    int gpus;
    std::string reason, begins;
  };
  const std::vector<Refusal> cases = {
      {"5", 4, "DEVICE_NOT_AVAILABLE", "GPU 5 not available. Only 4 GPU(s) detected."},
      {"0,5", 4, "DEVICE_NOT_AVAILABLE", "GPU 5 not available. Only 4 GPU(s) detected."},
      {"5", 0, "DEVICE_NOT_AVAILABLE", "CPU slot 5 not available. Only 2 CPU slot(s) detected."},
      {"cpu:2", 4, "DEVICE_NOT_AVAILABLE", "CPU slot 2 not available. Only 2 CPU slot(s) detected."},
      {"gpus:5", 4, "DEVICE_NOT_AVAILABLE", "5 GPU(s) not available. Only 4 GPU(s) detected."},
      {"gpus:1", 0, "DEVICE_NOT_AVAILABLE", "1 GPU(s) not available. Only 0 GPU(s) detected."},
      {"-1,-1,-1", 0, "DEVICE_NOT_AVAILABLE", "3 CPU slots not available. Only 2 CPU slot(s) detected."},
      {"GPU-9999", 4, "DEVICE_NOT_AVAILABLE", "GPU-9999 not available. Only 4 GPU(s) detected."},
      {"0,0", 4, "DEVICE_DUPLICATE", "GPU 0 is named twice in \"0,0\"."},
      {"GPU-0,GPU-0000-aa", 4, "DEVICE_DUPLICATE", "GPU 0 is named twice"},
      {"1,1", 0, "DEVICE_DUPLICATE", "CPU slot 1 is named twice in \"1,1\"."},
      {"", 4, "DEVICE_STRING_INVALID", "The device is empty."},
      {"   ", 4, "DEVICE_STRING_INVALID", "The device is empty."},
  };
  for (const Refusal& c : cases) {
    SCOPED_TRACE(absl::StrCat("\"", c.text, "\" with ", c.gpus, " GPUs"));
    const auto got = ResolveDeviceString(c.text, Machine(c.gpus, 2), 4);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(std::string(*got.status().GetPayload("yoke.reason")), c.reason);
    EXPECT_THAT(std::string(got.status().message()), StartsWith(c.begins));
    EXPECT_GT(got.status().message().size(), c.begins.size()) << "says nothing about what to do";
  }
}

TEST(DeviceString, MangledStringsNameThemselvesAndTheForms) {
  for (const std::string text : {"0,,2", "a", "0;1", ",", "0,", ",0", "-2", "0,-1", "-1,0", "-1,", "1.5", "0-3", "cpu:", "cpu:a", "cpu:0,,1",
                                 "gpus:", "gpus:0", "gpus:-1", "gpus:x", "GPU-", "GPU-0,", "99999999999999999999", "0 1", "auto,0"}) {
    SCOPED_TRACE(text);
    const auto got = ResolveDeviceString(text, Machine(4, 2), 4);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(std::string(*got.status().GetPayload("yoke.reason")), "DEVICE_STRING_INVALID");
    EXPECT_THAT(std::string(got.status().message()), StartsWith(absl::StrCat("device \"", text, "\" is not understood")));
    EXPECT_THAT(std::string(got.status().message()), HasSubstr("gpus:2"));
  }
}

TEST(DeviceString, LostGpusAreLeftOutOfAutoAndRefusedByName) {
  std::vector<v1::Device> machine = Machine(4, 2);
  machine[1].set_state(v1::Device::LOST);
  machine[1].set_message("the driver lost it: GPU is lost");
  const auto all = ResolveDeviceString("auto", machine, 4);
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(Uuids(*all), ElementsAre("GPU-0000-aa", "GPU-2222-aa", "GPU-3333-aa"));
  const auto named = ResolveDeviceString("1", machine, 4);
  EXPECT_THAT(std::string(named.status().message()), StartsWith("GPU 1 not available: the driver lost it"));
}

TEST(DeviceString, ChoicesReadAsTheDropDown) {
  std::vector<std::string> labels, values;
  for (const auto& choice : MakeChoices(Machine(4, 2))) {
    labels.push_back(choice.label());
    values.push_back(choice.device());
  }
  EXPECT_THAT(labels, ElementsAre("Auto (All 4 GPUs)", "GPU 0: NVIDIA GeForce RTX 4090", "GPU 1: NVIDIA GeForce RTX 4090",
                                  "GPU 2: NVIDIA GeForce RTX 4090", "GPU 3: NVIDIA GeForce RTX 4090", "CPU", "Custom..."));
  EXPECT_THAT(values, ElementsAre("auto", "0", "1", "2", "3", "cpu", ""));
  labels.clear();
  for (const auto& choice : MakeChoices(Machine(0, 2))) labels.push_back(choice.label());
  EXPECT_THAT(labels, ElementsAre("Auto (CPU)", "CPU slot 0", "CPU slot 1", "CPU", "Custom..."));
}

TEST(DeviceString, SentencesForPeople) {
  EXPECT_EQ(ResolveDeviceString("0,2", Machine(4, 2), 4)->sentence, "Devices: 0,2 (2 GPUs)");
  EXPECT_EQ(ResolveDeviceString("0,1", Machine(0, 2), 4)->sentence, "Devices: cpu:0,1 (2 CPU slots, 2 threads each)");
  EXPECT_EQ(ResolveDeviceString("cpu", Machine(4, 2), 4)->sentence, "Device: CPU (one process, all 4 cores)");
}

}  // namespace
}  // namespace yoke::devices
