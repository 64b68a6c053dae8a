// The inventory over the scripted NVML library.

#include "server/devices/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/devices/drains.h"

namespace yoke::devices {
namespace {

using ::testing::HasSubstr;

class InventoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    script_ = absl::StrCat(::testing::TempDir(), "/fake_nvml.", getpid(), ".",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    setenv("YOKE_FAKE_NVML", script_.c_str(), 1);
  }
  void TearDown() override { unlink(script_.c_str()); }

  void Script(const std::string& text) {
    const std::string fresh = script_ + ".new";
    std::ofstream(fresh) << text;
    ASSERT_EQ(rename(fresh.c_str(), script_.c_str()), 0);
  }

  static InventoryOptions Options() {
    InventoryOptions options;
    const char* bin = std::getenv("YOKE_BIN_DIR");
    options.nvml_library = absl::StrCat(bin == nullptr ? "build/dev-daemon/bin" : bin,
                                        "/../lib/fake/libnvidia-ml.so.1");
    options.cpu_slots = 2;
    options.sample_interval = absl::Milliseconds(20);
    options.driver_timeout = absl::Milliseconds(300);
    return options;
  }
  static std::unique_ptr<DeviceInventory> Make() { return MakeInventory(Options()); }

  // Waits until `what` holds, at most 5 s.
  template <typename F>
  static bool Eventually(F what) {
    const absl::Time deadline = absl::Now() + absl::Seconds(5);
    while (!what()) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return true;
  }

  std::string script_;
};

TEST_F(InventoryTest, ShowsFourGpusThenCpuSlots) {
  auto inventory = Make();
  const auto devices = inventory->Devices();
  ASSERT_EQ(devices.size(), 6u) << inventory->DriverProblem();
  EXPECT_TRUE(inventory->has_gpus());
  EXPECT_EQ(inventory->DriverVersion(), "550.54.14");
  EXPECT_EQ(inventory->DriverProblem(), "");
  std::set<std::string> uuids;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(devices[i].name(), "NVIDIA GeForce RTX 4090");
    EXPECT_EQ(devices[i].index(), i);
    EXPECT_EQ(devices[i].memory_total_bytes(), int64_t{24} << 30);
    EXPECT_EQ(devices[i].compute_capability(), "8.9");
    EXPECT_EQ(devices[i].pci_bus_id(), absl::StrCat("00000000:0", i + 1, ":00.0"));
    EXPECT_EQ(devices[i].state(), v1::Device::FREE);
    EXPECT_GT(devices[i].power_watts(), 0);
    EXPECT_GT(devices[i].temperature_celsius(), 0);
    uuids.insert(devices[i].uuid());
  }
  EXPECT_EQ(uuids.size(), 4u);
  EXPECT_EQ(devices[4].uuid(), "cpu:0");
  EXPECT_EQ(devices[5].kind(), v1::Device::CPU_SLOT);
  EXPECT_EQ(inventory->Resolve("auto")->devices.size(), 4u);
  EXPECT_THAT(std::string(inventory->Resolve("5").status().message()),
              HasSubstr("GPU 5 not available. Only 4 GPU(s) detected."));
}

TEST_F(InventoryTest, UtilizationMovesAndTheListenerHears) {
  auto inventory = Make();
  std::atomic<int> heard = 0;
  inventory->SetListener([&] { ++heard; });
  const double first = inventory->Devices()[0].utilization_percent();
  EXPECT_TRUE(Eventually([&] { return inventory->Devices()[0].utilization_percent() != first; }));
  EXPECT_TRUE(Eventually([&] { return heard > 2; }));
}

TEST_F(InventoryTest, ScriptNamesUuidsAndCount) {
  Script(
      "count 2\nname NVIDIA A100\nname @1 NVIDIA H100  # newer\nuuid @1 GPU-abc\nutilization 37\n");
  const auto devices = Make()->Devices();
  ASSERT_EQ(devices.size(), 4u);
  EXPECT_EQ(devices[0].name(), "NVIDIA A100");
  EXPECT_THAT(devices[1].name(), HasSubstr("NVIDIA H100"));
  EXPECT_EQ(devices[1].uuid(), "GPU-abc");
  EXPECT_EQ(devices[1].utilization_percent(), 37);
}

TEST_F(InventoryTest, ForeignProcessMakesAGpuBusy) {
  unsetenv("YOKE_RUN_ID");
  Script(absl::StrCat("process 2 ", getpid(), "\n"));
  auto inventory = Make();
  const auto devices = inventory->Devices();
  EXPECT_EQ(devices[2].state(), v1::Device::BUSY_FOREIGN);
  EXPECT_THAT(devices[2].message(), HasSubstr(absl::StrCat("process ", getpid())));
  EXPECT_EQ(devices[1].state(), v1::Device::FREE);
  EXPECT_THAT(inventory->HolderPids(devices[2].uuid()), ::testing::ElementsAre(getpid()));
  EXPECT_THAT(inventory->HolderPids(devices[1].uuid()), ::testing::IsEmpty());
}

TEST_F(InventoryTest, ProcessOfAnAttemptIsNotForeign) {
  // A child with the marker in its environment, as every process of an attempt has. It stops itself
  // and does not exec again: in the midst of an exec a process shows no environment.
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  const char* const environment[] = {"YOKE_RUN_ID=x", "PATH=/bin:/usr/bin", nullptr};
  const pid_t child = fork();
  if (child == 0) {
    dup2(out[1], 1);
    execle("/bin/sh", "sh", "-c", "echo up; kill -STOP $$", nullptr, environment);
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(out[0], &byte, 1), 1);
  Script(absl::StrCat("process 0 ", child, "\n"));
  const auto inventory = Make();
  EXPECT_EQ(inventory->Devices()[0].state(), v1::Device::FREE);
  kill(child, SIGKILL);
  // The driver lists it for a while after its end, and before it is buried.
  siginfo_t ended;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(Make()->Devices()[0].state(), v1::Device::FREE) << "a zombie";
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(inventory->Devices()[0].state(), v1::Device::FREE) << "known as ours";
  EXPECT_EQ(Make()->Devices()[0].state(), v1::Device::BUSY_FOREIGN)
      << "not known: of another namespace";
  close(out[0]);
  close(out[1]);
}

TEST_F(InventoryTest, AnAttemptOfAnotherDaemonIsForeign) {
  const char* const environment[] = {"YOKE_RUN_ID=x", "YOKE_SPEC=/elsewhere/jobs/a/attempts/1/spec.json", nullptr};
  const pid_t child = fork();
  if (child == 0) {
    execle("/bin/sleep", "sleep", "60", nullptr, environment);
    _exit(1);
  }
  Script(absl::StrCat("process 0 ", child, "\n"));
  InventoryOptions options = Options();
  const auto state_with = [&](const std::string& state_dir) {
    options.state_dir = state_dir;
    return MakeInventory(options)->Devices()[0].state();
  };
  EXPECT_TRUE(Eventually([&] { return state_with("/elsewhere") == v1::Device::FREE; }));
  EXPECT_EQ(state_with("/here"), v1::Device::BUSY_FOREIGN);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(InventoryTest, LostAndVanishedGpusStayListed) {
  Script("lost 3\n");
  auto inventory = Make();
  EXPECT_EQ(inventory->Devices()[3].state(), v1::Device::DRAINED);
  EXPECT_THAT(inventory->Devices()[3].message(), HasSubstr("GPU is lost"));
  EXPECT_THAT(inventory->FaultOf(inventory->Devices()[3].uuid()), HasSubstr("GPU is lost"));
  EXPECT_EQ(inventory->Resolve("auto")->devices.size(), 3u);
  Script("count 2\n");
  EXPECT_TRUE(Eventually([&] { return inventory->Devices()[2].state() == v1::Device::DRAINED; }));
  EXPECT_EQ(inventory->Devices().size(), 6u);
  EXPECT_EQ(inventory->Resume("2").status().code(), absl::StatusCode::kFailedPrecondition);
  Script("count 4\n");
  // Back, but nobody has said that they are repaired.
  EXPECT_TRUE(Eventually([&] { return inventory->Resume("2").ok(); }));
  EXPECT_EQ(inventory->Devices()[2].state(), v1::Device::FREE);
  EXPECT_EQ(inventory->Devices()[3].state(), v1::Device::DRAINED);
  EXPECT_THAT(inventory->Devices()[3].message(), HasSubstr("yoke device resume"));
}

TEST_F(InventoryTest, GpusAreKnownByTheirUuidsNotByTheDriversOrder) {
  auto inventory = Make();
  const auto before = inventory->Devices();
  Script("order 3 1 0 2\nutilization @3 99\nutilization @0 1\n");
  EXPECT_TRUE(Eventually([&] { return inventory->Devices()[3].utilization_percent() == 99; }));
  const auto after = inventory->Devices();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(after[i].uuid(), before[i].uuid());
    EXPECT_EQ(after[i].state(), v1::Device::FREE);
  }
  EXPECT_EQ(after[0].utilization_percent(), 1);
}

TEST_F(InventoryTest, ErrorsOfTheHardwareDrainAndThoseOfProgramsDoNot) {
  auto inventory = Make();
  EXPECT_TRUE(Eventually([&] { return inventory->ReadingBeganMs() > 0; }));
  absl::SleepFor(absl::Milliseconds(60));  // two readings: it listens
  Script("xid 1 13\nxid 0 79\nxid 2 48\nxid 3 94\n");
  EXPECT_TRUE(Eventually([&] { return inventory->Devices()[3].state() == v1::Device::DRAINED; }));
  const auto devices = inventory->Devices();
  EXPECT_THAT(devices[0].message(), HasSubstr("XID 79 (it has fallen off the bus)"));
  EXPECT_TRUE(devices[0].failed());
  EXPECT_EQ(devices[1].state(), v1::Device::FREE);
  EXPECT_THAT(devices[2].message(), HasSubstr("XID 48"));
  EXPECT_EQ(inventory->FaultOf(devices[1].uuid()), "");
  EXPECT_EQ(inventory->Resolve("auto")->devices.size(), 1u);
  EXPECT_THAT(std::string(inventory->Resolve("0").status().message()), HasSubstr("GPU 0 not available: XID 79"));
}

TEST_F(InventoryTest, DrainsSurviveARestartAndAGpuThatIsGoneIsStillShown) {
  const std::string file = script_ + ".json";
  std::unique_ptr<DeviceInventory> inventory;
  const auto restart = [&](const std::string& script) {
    inventory.reset();
    Script(script);
    InventoryOptions options = Options();
    options.drains = *Drains::Open(file);
    inventory = MakeInventory(options);
  };
  restart("");
  const std::string uuid = inventory->Devices()[1].uuid();
  ASSERT_TRUE(inventory->Drain("1", "fan is loud").ok());
  ASSERT_TRUE(inventory->Drain("cpu:1", "").ok());
  EXPECT_EQ(inventory->Drain("7", "").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(inventory->Drain("GPU-", "").status().code(), absl::StatusCode::kInvalidArgument);
  restart("order 0 2 3\n");
  EXPECT_EQ(inventory->Devices().size(), 5u);
  EXPECT_EQ(inventory->Devices()[4].state(), v1::Device::DRAINED);
  ASSERT_EQ(inventory->Absent().size(), 1u);
  EXPECT_EQ(inventory->Absent()[0].uuid(), uuid);
  EXPECT_EQ(inventory->Resume(uuid).status().code(), absl::StatusCode::kFailedPrecondition);
  restart("");
  EXPECT_THAT(inventory->Absent(), ::testing::IsEmpty());
  EXPECT_EQ(inventory->Devices()[1].state(), v1::Device::DRAINED);
  EXPECT_EQ(inventory->Devices()[1].message(), "fan is loud");
  EXPECT_EQ(inventory->FaultOf(uuid), "");
  EXPECT_EQ(inventory->Resolve("1")->devices.size(), 1u);  // it may be waited for
  EXPECT_EQ(inventory->Resume(uuid)->state(), v1::Device::FREE);
  std::ofstream(file) << "{\"drained\": [{}]}";
  EXPECT_EQ(Drains::Open(file).status().code(), absl::StatusCode::kFailedPrecondition);
  unlink(file.c_str());
}

TEST_F(InventoryTest, HangingDriverBlocksNobody) {
  auto inventory = Make();
  Script("hang 3\n");
  EXPECT_TRUE(Eventually([&] { return inventory->DriverProblem() != ""; }));
  const absl::Time start = absl::Now();
  const auto devices = inventory->Devices();
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(100));
  EXPECT_EQ(devices[0].state(), v1::Device::DRAINED);
  EXPECT_TRUE(devices[0].failed());
  EXPECT_THAT(devices[0].message(), HasSubstr("has not answered"));
  EXPECT_EQ(inventory->FaultOf(devices[0].uuid()), "");  // it may be well: what runs there goes on
  EXPECT_EQ(devices[4].state(), v1::Device::FREE);
  const absl::Time end = absl::Now();
  inventory.reset();
  EXPECT_LT(absl::Now() - end, absl::Seconds(1));
}

TEST_F(InventoryTest, WithoutDriverThereAreCpuSlots) {
  Script("no_driver\n");
  auto inventory = Make();
  EXPECT_FALSE(inventory->has_gpus());
  EXPECT_EQ(inventory->Devices().size(), 2u);
  EXPECT_THAT(inventory->DriverProblem(), HasSubstr("Driver Not Loaded"));
  auto none = MakeInventory({.nvml_library = "/nowhere/libnvidia-ml.so.1", .cpu_slots = 3});
  EXPECT_EQ(none->Devices().size(), 3u);
  EXPECT_THAT(none->DriverProblem(), HasSubstr("no NVIDIA driver"));
  EXPECT_TRUE(none->Resolve("auto")->cpu);
}

TEST_F(InventoryTest, ShowsWhichGpusNvLinkJoins) {
  Script("link 1 3\n");
  const auto inventory = Make();
  const std::vector<v1::Device> devices = inventory->Devices();
  EXPECT_THAT(inventory->Peers(devices[1].uuid()), ::testing::ElementsAre(devices[3].uuid()));
  EXPECT_THAT(inventory->Peers(devices[3].uuid()), ::testing::ElementsAre(devices[1].uuid()));
  EXPECT_THAT(inventory->Peers(devices[0].uuid()), ::testing::IsEmpty());
  EXPECT_THAT(inventory->Peers("cpu:0"), ::testing::IsEmpty());
}

}  // namespace
}  // namespace yoke::devices
