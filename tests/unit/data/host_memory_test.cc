#include "server/engine/data/host_memory.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

constexpr int64_t kMib = 1 << 20;

class HostMemory : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = root_.path() + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  TempFolder root_;
};

TEST_F(HostMemory, IsWhatTheKernelCallsAvailable) {
  Put("/proc/meminfo", "MemTotal:       2000 kB\nMemFree:  5 kB\nMemAvailable:    1024 kB\n");
  EXPECT_EQ(FreeHostMemory(root_.path()), kMib);
  EXPECT_GT(FreeHostMemory(), 0) << "of this machine";
}

TEST_F(HostMemory, IsTheLeastThatAControlGroupOnTheWayUpLeaves) {
  Put("/proc/meminfo", "MemAvailable: 1048576 kB\n");
  Put("/proc/self/cgroup", "0::/slice/job\n");
  Put("/sys/fs/cgroup/slice/job/memory.max", "max\n");
  Put("/sys/fs/cgroup/slice/job/memory.current", "1\n");
  Put("/sys/fs/cgroup/slice/memory.max", std::to_string(100 * kMib));
  Put("/sys/fs/cgroup/slice/memory.current", std::to_string(90 * kMib));
  Put("/sys/fs/cgroup/slice/memory.stat", "anon 5\ninactive_file " + std::to_string(20 * kMib) + "\n");
  EXPECT_EQ(FreeHostMemory(root_.path()), 30 * kMib);
}

TEST_F(HostMemory, IsNoneWhereNothingIsKnown) { EXPECT_EQ(FreeHostMemory(root_.path()), 0); }

}  // namespace
}  // namespace yoke::engine
