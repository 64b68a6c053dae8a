// The shared cache of decoded images: between loaders, between processes, out of room, after deaths
// and after damage.
#include "server/engine/data/image_arena.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "server/engine/data/image_encode.h"
#include "server/engine/data/image_store.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr int kImgsz = 64, kImages = 6;
constexpr int64_t kPlenty = 1 << 26;

class ImageArenaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < kImages; ++i) AddImage(i);
  }

  void AddImage(int i) {
    const cv::Mat picture(40, kImgsz, CV_8UC3, cv::Scalar(20 + 30 * i, 10, 200 - 30 * i));
    split_.samples.push_back(
        {.image_path = folder_.Write(std::to_string(i) + ".png", *EncodePng(picture)),
         .width = kImgsz,
         .height = 40});
  }

  absl::StatusOr<std::shared_ptr<ImageArena>> Open(ArenaKind kind, int64_t budget = kPlenty) {
    return ImageArena::Open(kind, cache_, split_, kImgsz, budget);
  }
  std::shared_ptr<ImageArena> MustOpen(ArenaKind kind, int64_t budget = kPlenty) {
    const auto arena = Open(kind, budget);
    EXPECT_TRUE(arena.ok()) << arena.status();
    return *arena;
  }
  static void Fill(const std::shared_ptr<ImageArena>& arena, const Split& split) {
    ImageStore store(split, kImgsz, arena);
    for (size_t i = 0; i < split.samples.size(); ++i)
      ASSERT_TRUE(store.Get(static_cast<int64_t>(i)).ok());
  }
  int Found(ImageArena& arena) const {
    int found = 0;
    for (int i = 0; i < kImages; ++i) found += arena.Find(i).has_value() ? 1 : 0;
    return found;
  }
  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(cache_)) files.push_back(entry.path());
    return files;
  }

  TempFolder folder_;
  const std::string cache_ = folder_.path() + "/cache";
  Split split_;
};

TEST_F(ImageArenaTest, IsSharedByAllWhoOpenItAndHoldsEqualPixels) {
  const auto one = MustOpen(ArenaKind::kMemory), other = MustOpen(ArenaKind::kMemory);
  EXPECT_EQ(Found(*other), 0);
  Fill(one, split_);
  EXPECT_EQ(Found(*other), kImages);
  ImageStore plain(split_, kImgsz, nullptr);
  for (int i = 0; i < kImages; ++i) {
    const StoredImage want = *plain.Get(i), got = *other->Find(i);
    ASSERT_EQ(got.bgr.size(), want.bgr.size());
    EXPECT_EQ(cv::norm(got.bgr, want.bgr, cv::NORM_INF), 0);
    EXPECT_EQ(got.original.width, kImgsz);
    EXPECT_EQ(got.original.height, 40);
  }
  // No image is decoded any more: the files are not even there.
  for (const Sample& sample : split_.samples) fs::remove(sample.image_path);
  ImageStore store(split_, kImgsz, other);
  EXPECT_TRUE(store.Get(3).ok());
}

TEST_F(ImageArenaTest, ADevicesPixelsAreOthers) {
  Fill(MustOpen(ArenaKind::kDisk), split_);
  const auto by_device =
      ImageArena::Open(ArenaKind::kDisk, cache_, split_, kImgsz, kPlenty, /*by_device=*/true);
  ASSERT_TRUE(by_device.ok()) << by_device.status();
  EXPECT_EQ(Found(**by_device), 0);
  EXPECT_EQ(Found(*MustOpen(ArenaKind::kDisk)), kImages);
}

TEST_F(ImageArenaTest, InMemoryGoesWithItsLastUserAndOnDiskStays) {
  for (const ArenaKind kind : {ArenaKind::kMemory, ArenaKind::kDisk}) {
    auto one = MustOpen(kind), other = MustOpen(kind);
    Fill(one, split_);
    one.reset();
    EXPECT_EQ(Files().size(), 1u);
    EXPECT_EQ(Found(*other), kImages);
    other.reset();
    EXPECT_EQ(Files().size(), kind == ArenaKind::kMemory ? 0u : 1u);
  }
  EXPECT_EQ(Found(*MustOpen(ArenaKind::kDisk)), kImages) << "of the earlier training";
}

TEST_F(ImageArenaTest, KeepsNoMoreThanItsBudget) {
  const auto whole = MustOpen(ArenaKind::kMemory);
  EXPECT_GE(whole->capacity(), int64_t{kImages} * 3 * 40 * kImgsz);
  EXPECT_EQ(whole->capacity(), whole->needed());
  fs::remove_all(cache_);
  const auto half = MustOpen(ArenaKind::kMemory, 4096 + 3 * 3 * 40 * kImgsz);
  EXPECT_LT(half->capacity(), half->needed());
  Fill(half, split_);
  EXPECT_EQ(Found(*half), 3);
  fs::remove_all(cache_);
  const auto none = MustOpen(ArenaKind::kMemory, 0);
  Fill(none, split_);
  EXPECT_EQ(Found(*none), 0);
}

TEST_F(ImageArenaTest, AChangedImageIsAnotherAndTheOldOnesMakeRoom) {
  Fill(MustOpen(ArenaKind::kDisk), split_);
  const fs::path before = Files().front();
  fs::last_write_time(split_.samples[2].image_path,
                      fs::file_time_type::clock::now() + std::chrono::hours(1));
  // Room for one of the two.
  const auto changed = MustOpen(ArenaKind::kDisk, 3 * 4096 + kImages * 3 * 42 * (kImgsz + 2));
  EXPECT_EQ(Found(*changed), 0);
  EXPECT_EQ(changed->capacity(), changed->needed());
  EXPECT_FALSE(fs::exists(before));
  // One in use is not removed: there is no room beside it.
  fs::last_write_time(split_.samples[2].image_path,
                      fs::file_time_type::clock::now() + std::chrono::hours(2));
  Fill(changed, split_);
  EXPECT_LT(MustOpen(ArenaKind::kDisk, 3 * 4096 + kImages * 3 * 42 * (kImgsz + 2))->capacity(),
            changed->capacity());
  EXPECT_EQ(Found(*changed), kImages);
}

TEST_F(ImageArenaTest, OnDiskDamagedPixelsAreNoticed) {
  Fill(MustOpen(ArenaKind::kDisk), split_);
  const fs::path file = Files().front();
  {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(4096 + 100);  // of the first image stored
    stream.put('\x55');
  }
  const auto arena = MustOpen(ArenaKind::kDisk);
  EXPECT_FALSE(arena->Find(0).has_value());
  EXPECT_EQ(Found(*arena), kImages - 1);
}

TEST_F(ImageArenaTest, BeginsAnewWhereTheFileIsNoArena) {
  Fill(MustOpen(ArenaKind::kDisk), split_);
  const fs::path file = Files().front();
  for (const uintmax_t size : {fs::file_size(file), uintmax_t{100}}) {
    std::ofstream(file, std::ios::trunc) << std::string(size, '\x02');
    const auto arena = MustOpen(ArenaKind::kDisk);
    EXPECT_EQ(Found(*arena), 0);
    if (size == 100) {
      EXPECT_EQ(arena->capacity(), arena->needed());
    }
    Fill(arena, split_);
    EXPECT_EQ(Found(*arena), kImages);
  }
}

TEST_F(ImageArenaTest, SaysWhereItCannotBe) {
  const std::string in_a_file = split_.samples[0].image_path + "/cache";
  const absl::Status status =
      ImageArena::Open(ArenaKind::kDisk, in_a_file, split_, kImgsz, kPlenty).status();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find(in_a_file), std::string::npos);
}

// Children that are killed while they fill it; the survivors' pixels are whole.
TEST_F(ImageArenaTest, SurvivesDeathsAtAnyMoment) {
  const auto arena = MustOpen(ArenaKind::kMemory);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      const auto mine = Open(ArenaKind::kMemory);
      ImageStore store(split_, kImgsz, *mine);
      for (int i = 0; i < kImages; ++i) (void)store.Get((i + round) % kImages);
      _exit(0);
    }
    ::usleep(static_cast<useconds_t>(200 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  ImageStore plain(split_, kImgsz, nullptr), shared(split_, kImgsz, arena);
  for (int i = 0; i < kImages; ++i) {
    EXPECT_EQ(cv::norm(shared.Get(i)->bgr, plain.Get(i)->bgr, cv::NORM_INF), 0) << i;
  }
}

TEST_F(ImageArenaTest, ManyThreadsAgree) {
  const auto arena = MustOpen(ArenaKind::kMemory);
  ImageStore store(split_, kImgsz, arena);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10 * kImages; ++i) ASSERT_TRUE(store.Get((i + t) % kImages).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Found(*arena), kImages);
}

TEST(ArenaBudget, IsAShareOfWhatIsFree) {
  const TempFolder folder;
  for (const ArenaKind kind : {ArenaKind::kMemory, ArenaKind::kDisk}) {
    const int64_t budget = ArenaBudget(kind, folder.path() + "/cache");
    EXPECT_GT(budget, 0);
    EXPECT_LT(budget, static_cast<int64_t>(fs::space(folder.path()).available));
  }
  EXPECT_EQ(ArenaBudget(ArenaKind::kDisk, "/nowhere/at/all"), 0);
}

}  // namespace
}  // namespace yoke::engine
